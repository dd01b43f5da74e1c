"""PostgreSQL: one database with its roles, dumped by `pg_dump` in the same moment in which its rows are counted."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StrictInt

from drp.domain.datasets.base import DatasetType, Procedure, Scratch
from drp.domain.values import AccountName, DatabaseName, Query

# The roles that a database needs: who owns or may do anything in it, whose settings it keeps, all their members, and
# the roles that any of these are members of (but not the other members of those).
# The cluster's own first role (number 10) and PostgreSQL's built-in ones are the recovery site's own.
_NEEDED = """
WITH RECURSIVE here AS (SELECT oid FROM pg_database WHERE datname = current_database()), needed (id) AS (
  SELECT * FROM (SELECT refobjid FROM pg_shdepend, here WHERE refclassid = 'pg_authid'::regclass
      AND (dbid = here.oid OR classid = 'pg_database'::regclass AND objid = here.oid)
    UNION SELECT setrole FROM pg_db_role_setting, here WHERE setdatabase = here.oid AND setrole <> 0) AS named
  UNION SELECT member FROM pg_auth_members JOIN needed ON roleid = id),
above (id) AS (SELECT id FROM needed UNION SELECT roleid FROM pg_auth_members JOIN above ON member = id),
wanted AS (SELECT DISTINCT id FROM above JOIN pg_authid ON oid = id WHERE id <> 10 AND rolname !~ '^pg_')
"""

ALL_ROLES = "WITH wanted AS (SELECT oid AS id FROM pg_authid WHERE oid <> 10 AND rolname !~ '^pg_')"

# What is written can be run again where the roles exist already: a role that exists keeps its password. With
# drp.scratch set, roles that exist are left alone, and those that are made cannot log in and are marked, so that they
# can be told and dropped. Blocks are literals, so that no name can end one. A role's settings within the database come
# with the database; lists such as search_path are stored as they are written, each element in its own quotes.
_ROLES = """
{wanted}
SELECT format('DO %L;', format('DECLARE mark text := (SELECT shobj_description(oid, ''pg_authid'') FROM pg_roles'
  || ' WHERE rolname = %1$L); scratch text := current_setting(''drp.scratch'', true); BEGIN'
  || ' IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = %1$L) THEN'
  || '   IF scratch IS NULL THEN CREATE ROLE %2$I WITH %3$s %4$s;'
  || '   ELSE CREATE ROLE %2$I WITH NOLOGIN;'
  || '     EXECUTE format(''COMMENT ON ROLE %%I IS %%L'', %1$L, ''drp scratch '' || scratch); END IF;'
  || ' ELSIF scratch IS NOT NULL THEN NULL;'
  || ' ELSIF mark LIKE ''drp scratch %%'' THEN ALTER ROLE %2$I WITH %3$s %4$s; COMMENT ON ROLE %2$I IS NULL;'
  || ' ELSE ALTER ROLE %2$I WITH %3$s; END IF; END', rolname, rolname, attributes, secret))
FROM (SELECT rolname, concat_ws(' ',
    CASE WHEN rolsuper THEN 'SUPERUSER' ELSE 'NOSUPERUSER' END,
    CASE WHEN rolinherit THEN 'INHERIT' ELSE 'NOINHERIT' END,
    CASE WHEN rolcreaterole THEN 'CREATEROLE' ELSE 'NOCREATEROLE' END,
    CASE WHEN rolcreatedb THEN 'CREATEDB' ELSE 'NOCREATEDB' END,
    CASE WHEN rolcanlogin THEN 'LOGIN' ELSE 'NOLOGIN' END,
    CASE WHEN rolreplication THEN 'REPLICATION' ELSE 'NOREPLICATION' END,
    CASE WHEN rolbypassrls THEN 'BYPASSRLS' ELSE 'NOBYPASSRLS' END,
    'CONNECTION LIMIT ' || rolconnlimit, 'VALID UNTIL ' || quote_literal(rolvaliduntil)) AS attributes,
    CASE WHEN rolpassword IS NULL THEN '' ELSE 'PASSWORD ' || quote_literal(rolpassword) END AS secret
  FROM pg_authid JOIN wanted ON id = oid) AS roles ORDER BY rolname;
{wanted}
SELECT format('DO %L;', format('BEGIN IF current_setting(''drp.scratch'', true) IS NULL THEN'
  || ' GRANT %I TO %I%s; END IF; END', granted.rolname, member.rolname,
  CASE WHEN bool_or(admin_option) THEN ' WITH ADMIN OPTION' ELSE '' END))
FROM pg_auth_members JOIN pg_authid granted ON granted.oid = roleid JOIN pg_authid member ON member.oid = member
  JOIN wanted ON wanted.id = member
WHERE granted.rolname ~ '^pg_' OR roleid IN (SELECT id FROM wanted)
GROUP BY granted.rolname, member.rolname ORDER BY 1;
{wanted}
SELECT format('DO %L;', format('BEGIN IF current_setting(''drp.scratch'', true) IS NULL THEN'
  || ' ALTER ROLE %I SET %I TO %s; END IF; END', rolname, split_part(setting, '=', 1),
  CASE WHEN split_part(setting, '=', 1) IN ('search_path', 'temp_tablespaces', 'local_preload_libraries',
      'session_preload_libraries') THEN substr(setting, strpos(setting, '=') + 1)
    ELSE quote_literal(substr(setting, strpos(setting, '=') + 1)) END))
FROM pg_db_role_setting JOIN pg_authid ON pg_authid.oid = setrole JOIN wanted ON id = setrole,
  unnest(setconfig) AS setting
WHERE setdatabase = 0 ORDER BY 1;
SELECT '-- drp: these were the roles';
"""
ROLES_END = r"-- drp: these were the roles\n$"

_DROP_SCRATCH_ROLES = """
SET client_min_messages = warning;
SELECT set_config('drp.scratch', :'name', false) \\gset drp_
DO $$ DECLARE made name; BEGIN
  FOR made IN SELECT rolname FROM pg_roles
      WHERE shobj_description(oid, 'pg_authid') = 'drp scratch ' || current_setting('drp.scratch') LOOP
    BEGIN EXECUTE format('DROP ROLE %I', made);
    EXCEPTION WHEN dependent_objects_still_exist THEN NULL;  -- somebody uses it by now
    END;
  END LOOP;
END $$;
"""

# One statement, whatever tables there are; exact, and in the dump's own snapshot.
COUNT_ROWS = """
SELECT coalesce(json_object_agg(name, rows ORDER BY name), '{}') FROM (
  SELECT n.nspname || '.' || c.relname AS name,
    (xpath('/row/c/text()', query_to_xml(format('SELECT count(*) AS c FROM ONLY %I.%I', n.nspname, c.relname),
      false, true, '')))[1]::text::bigint AS rows
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE c.relkind = 'r' AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'drp')
    AND n.nspname !~ '^pg_(toast|temp)') AS counted;
"""

_WRITE_SENTINEL = """
SET client_min_messages = warning;
CREATE SCHEMA IF NOT EXISTS drp;
CREATE TABLE IF NOT EXISTS drp.sentinel (only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
  token text NOT NULL, written_at timestamptz NOT NULL);
INSERT INTO drp.sentinel (token, written_at) VALUES (:'token', clock_timestamp())
  ON CONFLICT (only_row) DO UPDATE SET token = excluded.token, written_at = excluded.written_at;
"""

_READ_SENTINEL = """
SELECT json_build_object('token', token, 'written_at',
  to_char(written_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')) FROM drp.sentinel;
"""


# A time without its zone could be any zone's: it is told as what it is, which no reader takes for a time.
_READ_NEWEST = """
SET default_transaction_read_only = on;
SELECT CASE WHEN pg_typeof(newest)::text = 'timestamp with time zone'
  THEN to_char(newest AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') ELSE 'a ' || pg_typeof(newest)::text END
FROM (SELECT ({query}) AS newest) AS found;
"""


class PostgresqlDataset(DatasetType):
    """One PostgreSQL database with its roles, dumped as a stream by `pg_dump` on the host.

    `freshness` is a query for the time (`timestamptz`) of the newest transaction. It dates the data in the place of the
    sentinel, for databases that nobody but their application may write to.
    """

    type: Literal["postgresql"]
    database: DatabaseName
    run_as: AccountName = "postgres"
    port: Annotated[StrictInt, Field(ge=1, le=65535)] = 5432
    freshness: Query | None = None

    @property
    def dated_by(self) -> Literal["sentinel", "freshness", "nothing"]:
        return "freshness" if self.freshness else "sentinel"

    @property
    def places(self) -> tuple[str, ...]:
        return (f"port {self.port}, database {self.database}",)

    @property
    def folders(self) -> tuple[str, ...]:
        return ("/var/lib/postgresql",)

    def procedure(self, service: str, token: str = "", scratch: Scratch | None = None) -> Procedure:
        client = Client(self.run_as, ["-p", str(self.port)])
        database = scratch.name if scratch else self.database
        if scratch is None:
            prepare = [client.drop(database)]
            load_roles = [*client.psql("postgres"), "-f", "-"]
            load = client.program("pg_restore", "--create", "--exit-on-error", "-d", "postgres")
            remove = prepare
        else:
            prepare = [
                client.drop(database),
                {"argv": client.program("createdb", "--template=template0", "--", database)},
            ]
            load_roles = [*client.psql("postgres"), "-c", f"SET drp.scratch = '{scratch.name}'", "-f", "-"]
            load = client.program("pg_restore", "--exit-on-error", "-d", database)
            drop_roles = {"argv": client.psql("postgres", "-v", f"name={scratch.name}"), "stdin": _DROP_SCRATCH_ROLES}
            remove = [client.drop(database), drop_roles]
        return {
            "id": self.id,
            "type": self.type,
            "units": ["postgresql"],
            "requires": ["runuser", "psql", "pg_dump", "pg_restore", "dropdb", "createdb"],
            "versions": client.versions(self.id),
            "parts": [
                client.roles_part(f"{service}.{self.id}.roles.sql", self.database, load_roles),
                {
                    "name": "database",
                    "file": f"{service}.{self.id}.pgdump",
                    **client.dump(self.database),
                    "restore": load,
                },
            ],
            "prepare_restore": prepare,
            "remove": remove,
            "count": client.count(database),
            "sentinel": client.freshness(database, self.freshness)
            if self.freshness
            else client.sentinel(database, token),
            "absence": [
                {
                    "kind": "command",
                    "what": f"PostgreSQL database {database}",
                    "command": {"argv": client.psql("postgres", "-v", f"name={database}"), "stdin": _EXISTS},
                }
            ],
        }


# The database's name is a value to psql (-v), never a part of a statement.
_EXISTS = "SELECT 1 FROM pg_database WHERE datname = :'name';\n"


class Client:
    """PostgreSQL's programs, run as an account of the system. `connection`: the options that say to which server."""

    def __init__(self, run_as: str, connection: list[str]) -> None:
        self.as_owner, self.connection = ["runuser", "-u", run_as, "--"], connection

    def program(self, name: str, *arguments: str) -> list[str]:
        return [*self.as_owner, name, *self.connection, *arguments]

    def psql(self, database: str, *options: str) -> list[str]:
        script = ["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", *options]
        return [*self.as_owner, "psql", *script, *self.connection, "-d", database]

    def drop(self, database: str) -> Procedure:
        return {"argv": self.program("dropdb", "--if-exists", "--force", "--", database)}

    def versions(self, dataset: str) -> dict[str, list[str]]:
        return {
            "pg_dump": ["pg_dump", "--version"],
            "pg_restore": ["pg_restore", "--version"],
            f"server of {dataset}": [*self.psql("template1"), "-c", "SHOW server_version"],
        }

    def roles_part(self, file: str, database: str, load: list[str], wanted: str = _NEEDED) -> Procedure:
        """The part that carries roles: those that the database needs, or what `wanted` selects."""
        return {
            "name": "roles",
            "kind": "stream",
            "file": file,
            "dump": [*self.psql(database), "-c", _ROLES.replace("{wanted}", wanted)],
            "restore": load,
            "ends_with": ROLES_END,
        }

    def dump(self, database: str, count: str = COUNT_ROWS) -> Procedure:
        """A stream of a whole database, in the moment in which a session counts its rows."""
        snapshot = ["--format=custom", "--compress=0", "--snapshot={snapshot}", "-d", database]
        return {
            "kind": "stream",
            "dump": self.program("pg_dump", *snapshot),
            "session": {
                "argv": self.psql(database),
                "open": "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SELECT pg_export_snapshot();",
                "count": count,
            },
        }

    def count(self, database: str) -> Procedure:
        return {"argv": self.psql(database), "stdin": COUNT_ROWS}

    def freshness(self, database: str, query: str) -> Procedure:
        read = {"argv": self.psql(database), "stdin": _READ_NEWEST.replace("{query}", query)}
        return {"kind": "freshness", "read": read}

    def sentinel(self, database: str, token: str) -> Procedure:
        return {
            "kind": "command",
            "token": token,
            "write": {
                "argv": self.psql(database, "-v", f"token={token}"),
                "stdin": _WRITE_SENTINEL + _READ_SENTINEL,
            },
            "read": {"argv": self.psql(database), "stdin": _READ_SENTINEL},
        }
