set -eu
mkdir -p $(dirname @PATH@)
work=$(mktemp -d)
cd "$work"
git init --quiet --initial-branch main
for path in @PATHS@ $(seq -f 'arsip/%g' 1 150); do
    path=${path#/}
    mkdir -p "$(dirname "$path")"
    { echo "Naskah $path"; head -c 3000 /dev/urandom | base64; } >"$path"
done
git add .
git -c user.name=Kota -c user.email=kota@localhost commit --quiet --message 'Naskah awal'
git clone --quiet --bare "$work" @PATH@
chown -R @ACCOUNT@:@ACCOUNT@ @PATH@
cd /
rm -rf "$work"
service fcgiwrap status >/dev/null 2>&1 || service fcgiwrap start >/dev/null
