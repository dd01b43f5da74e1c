set -eu
export HOME=/root USER=admin
install -d -m 755 -o www-data -g www-data $(dirname @PATH@)
fossil init --admin-user admin @PATH@ >/dev/null
entry=$(mktemp)
for path in @PATHS@ $(seq -f '/arsip/%g' 1 60); do
    { echo "Barang $path"; head -c 3000 /dev/urandom | base64; } >"$entry"
    fossil unversioned add "$entry" --as "${path#/}" -R @PATH@ >/dev/null
done
rm "$entry"
chown www-data:www-data @PATH@
service fcgiwrap status >/dev/null 2>&1 || service fcgiwrap start >/dev/null
