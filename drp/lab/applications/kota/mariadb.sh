# Run by the lab inside a new host, after the program's files are there.
set -eu
service mariadb status >/dev/null 2>&1 || service mariadb start >/dev/null
cd /
for database in @DATABASE@ @OTHER_DATABASES@; do
    mariadb <<SQL
CREATE USER IF NOT EXISTS '@ACCOUNT@'@'localhost' IDENTIFIED VIA unix_socket;
CREATE DATABASE \`$database\` CHARACTER SET utf8mb4;
GRANT ALL PRIVILEGES ON \`$database\`.* TO '@ACCOUNT@'@'localhost';
SQL
    /usr/sbin/runuser -u @ACCOUNT@ -- /usr/bin/python3 /srv/@ID@/app/kota.py /etc/@ID@/@ID@.ini \
        --fill "$database" @DOCUMENTS@ @LARGEST_FILE_BYTES@ @PATHS@
done
service @ID@ start >/dev/null
if service nginx status >/dev/null 2>&1; then service nginx reload >/dev/null; else service nginx start >/dev/null; fi
