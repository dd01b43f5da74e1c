set -eu
service redis-server start >/dev/null
until redis-cli PING >/dev/null 2>&1; do sleep 0.1; done
for path in @PATHS@ $(seq -f '/arsip/%g' 1 300); do
    key=$(echo "${path#/}" | tr / :)
    printf 'SET %s "Catatan %s %s"\n' "$key" "$key" "$(head -c 900 /dev/urandom | base64 -w 0)"
done | redis-cli >/dev/null
redis-cli SAVE >/dev/null
install -d -o webdis -g webdis /var/log/webdis
service webdis start >/dev/null
