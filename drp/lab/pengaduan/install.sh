# Run by the lab inside a new host, after the program's files are there. @COMPLAINTS@: complaints to begin with.
set -eu
service postgresql start >/dev/null
cd /
runuser -u postgres -- psql --quiet --set ON_ERROR_STOP=1 --dbname postgres <<'SQL'
CREATE ROLE pengaduan LOGIN;
CREATE DATABASE pengaduan OWNER pengaduan;
SQL
runuser -u pengaduan -- psql --quiet --set ON_ERROR_STOP=1 --dbname pengaduan --file /srv/pengaduan/app/schema.sql
runuser -u pengaduan -- /usr/bin/python3 - "@COMPLAINTS@" </run/seed.py
rm /run/seed.py
service pengaduan start >/dev/null
service nginx start >/dev/null
