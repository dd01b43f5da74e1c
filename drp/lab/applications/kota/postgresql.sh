# Run by the lab inside a new host, after the program's files are there.
set -eu
service postgresql status >/dev/null 2>&1 || service postgresql start >/dev/null
cd /
for database in @DATABASE@ @OTHER_DATABASES@; do
    runuser -u postgres -- psql --quiet --set ON_ERROR_STOP=1 --dbname postgres <<SQL
DO \$\$ BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '@ACCOUNT@') THEN CREATE ROLE "@ACCOUNT@" LOGIN; END IF;
END \$\$;
CREATE DATABASE "$database" OWNER "@ACCOUNT@";
SQL
    /usr/sbin/runuser -u @ACCOUNT@ -- /usr/bin/python3 /srv/@ID@/app/kota.py /etc/@ID@/@ID@.ini \
        --fill "$database" @DOCUMENTS@ @LARGEST_FILE_BYTES@ @PATHS@
done
service @ID@ start >/dev/null
if service nginx status >/dev/null 2>&1; then service nginx reload >/dev/null; else service nginx start >/dev/null; fi
