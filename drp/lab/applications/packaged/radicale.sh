set -eu
root=/var/lib/radicale/collections/collection-root/publik
for path in @PATHS@ $(seq -f '/arsip/%g' 1 150); do
    folder=$root$(dirname "$path") number=$(basename "$path")
    mkdir -p "$folder"
    [ -e "$folder/.Radicale.props" ] || echo '{"tag": "VCALENDAR", "D:displayname": "Jadwal"}' >"$folder/.Radicale.props"
    printf 'BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//kota//jadwal//ID\r\nBEGIN:VEVENT\r\nUID:%s\r\nDTSTAMP:20260101T000000Z\r\nDTSTART:20260105T020000Z\r\nDTEND:20260105T080000Z\r\nSUMMARY:Acara %s\r\nDESCRIPTION:%s\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n' \
        "$number" "$path" "$(head -c 900 /dev/urandom | base64 -w 0)" >"$folder/$number.ics"
done
mkdir -p "$root/warga"
echo '{"tag": "VCALENDAR", "D:displayname": "Warga"}' >"$root/warga/.Radicale.props"
echo '{}' >"$root/.Radicale.props"
chown -R radicale:radicale /var/lib/radicale
service radicale start >/dev/null
