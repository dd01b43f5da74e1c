# Run inside the portal's primary host: its pages, and nginx in front of them. $1: the address of the complaints' host;
# $2: how many bytes its archive has, so that a thin line shows.
set -eu
mkdir -p /srv/portal/archive
cat >/srv/portal/index.html <<'PAGE'
<!DOCTYPE html>
<html lang="id"><head><meta charset="utf-8"><title>Portal kota</title></head>
<body><h1>Portal kota</h1><p><a href="/pengaduan">Keadaan layanan pengaduan</a></p></body></html>
PAGE
head -c "$2" /dev/urandom >/srv/portal/archive/dokumen.bin
cat >/etc/nginx/sites-available/portal <<SITE
server {
    listen 80;
    root /srv/portal;
    location = /pengaduan {
        proxy_pass http://$1/health;
        proxy_connect_timeout 2s;
        proxy_read_timeout 5s;
    }
}
SITE
ln -sf /etc/nginx/sites-available/portal /etc/nginx/sites-enabled/portal
service nginx restart >/dev/null
