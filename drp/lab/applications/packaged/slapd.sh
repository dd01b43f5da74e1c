set -eu
# A directory of its own in the place of the one that the package makes.
install -d -m 700 -o openldap -g openldap /etc/ldap/slapd.d /var/lib/ldap
runuser -u openldap -- slapadd -n 0 -F /etc/ldap/slapd.d <<'LDIF'
dn: cn=config
objectClass: olcGlobal
cn: config
olcPidFile: /var/run/slapd/slapd.pid
olcArgsFile: /var/run/slapd/slapd.args

dn: cn=module{0},cn=config
objectClass: olcModuleList
cn: module{0}
olcModulePath: /usr/lib/ldap
olcModuleLoad: back_mdb

dn: cn=schema,cn=config
objectClass: olcSchemaConfig
cn: schema

include: file:///etc/ldap/schema/core.ldif
include: file:///etc/ldap/schema/cosine.ldif
include: file:///etc/ldap/schema/inetorgperson.ldif

dn: olcDatabase={0}config,cn=config
objectClass: olcDatabaseConfig
olcDatabase: {0}config
olcAccess: {0}to * by dn.exact=gidNumber=0+uidNumber=0,cn=peercred,cn=external,cn=auth manage by * none

dn: olcDatabase={1}mdb,cn=config
objectClass: olcDatabaseConfig
objectClass: olcMdbConfig
olcDatabase: {1}mdb
olcSuffix: @SUFFIX@
olcDbDirectory: /var/lib/ldap
olcDbIndex: objectClass,uid eq
olcDbMaxSize: 268435456
olcAccess: {0}to attrs=userPassword by dn.exact=gidNumber=0+uidNumber=0,cn=peercred,cn=external,cn=auth manage by anonymous auth by * none
olcAccess: {1}to * by dn.exact=gidNumber=0+uidNumber=0,cn=peercred,cn=external,cn=auth manage by * read
LDIF
{
    printf 'dn: @SUFFIX@\nobjectClass: dcObject\nobjectClass: organization\ndc: %s\no: @TITLE@\n\n' \
        "$(echo '@SUFFIX@' | sed 's/^dc=//; s/,.*//')"
    printf 'dn: ou=people,@SUFFIX@\nobjectClass: organizationalUnit\nou: people\n\n'
    # The services' own account: with it they ask whether a session could be opened.
    printf 'dn: uid=layanan,ou=people,@SUFFIX@\nobjectClass: inetOrgPerson\nuid: layanan\ncn: Layanan\nsn: Layanan\nuserPassword: @PASSWORD@\n\n'
    for number in $(seq 1 400); do
        printf 'dn: uid=pegawai%s,ou=people,@SUFFIX@\nobjectClass: inetOrgPerson\nuid: pegawai%s\ncn: Pegawai %s\nsn: %s\nuserPassword: %s\n\n' \
            "$number" "$number" "$number" "$number" "$(head -c 12 /dev/urandom | base64)"
    done
} | runuser -u openldap -- slapadd -q -n 1 -F /etc/ldap/slapd.d
service slapd start >/dev/null
service apache2 start >/dev/null
