"""PostgreSQL: one database with its roles, dumped by `pg_dump` in the same moment in which its rows are counted."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StrictInt

from drp.domain.datasets.base import DatasetType, Procedure, Scratch
from drp.domain.values import AccountName, DatabaseName

# Roles are written as statements that may be run again where they exist already. The cluster's own first role (number
# 10) and PostgreSQL's built-in ones stay as they are at the recovery site. A role's settings within the database come
# with the database; lists such as search_path are stored as they are written, each element in its own quotes.
_ROLES = """
SELECT format('DO $drp$ BEGIN CREATE ROLE %1$I; EXCEPTION WHEN duplicate_object THEN NULL; END $drp$;'
  || ' ALTER ROLE %1$I WITH %2$s %3$s %4$s %5$s %6$s %7$s %8$s CONNECTION LIMIT %9$s %10$s %11$s;', rolname,
  CASE WHEN rolsuper THEN 'SUPERUSER' ELSE 'NOSUPERUSER' END,
  CASE WHEN rolinherit THEN 'INHERIT' ELSE 'NOINHERIT' END,
  CASE WHEN rolcreaterole THEN 'CREATEROLE' ELSE 'NOCREATEROLE' END,
  CASE WHEN rolcreatedb THEN 'CREATEDB' ELSE 'NOCREATEDB' END,
  CASE WHEN rolcanlogin THEN 'LOGIN' ELSE 'NOLOGIN' END,
  CASE WHEN rolreplication THEN 'REPLICATION' ELSE 'NOREPLICATION' END,
  CASE WHEN rolbypassrls THEN 'BYPASSRLS' ELSE 'NOBYPASSRLS' END,
  rolconnlimit, CASE WHEN rolpassword IS NULL THEN '' ELSE format('PASSWORD %L', rolpassword) END,
  CASE WHEN rolvaliduntil IS NULL THEN '' ELSE format('VALID UNTIL %L', rolvaliduntil) END)
FROM pg_authid WHERE oid <> 10 AND rolname !~ '^pg_' ORDER BY rolname;
SELECT format('GRANT %I TO %I%s;', granted.rolname, member.rolname,
  CASE WHEN admin_option THEN ' WITH ADMIN OPTION' ELSE '' END)
FROM pg_auth_members JOIN pg_authid granted ON granted.oid = roleid JOIN pg_authid member ON member.oid = member
WHERE member.rolname !~ '^pg_' AND member.oid <> 10 ORDER BY 1;
SELECT format('ALTER ROLE %I SET %I TO %s;', rolname, split_part(setting, '=', 1),
  CASE WHEN split_part(setting, '=', 1) IN ('search_path', 'temp_tablespaces', 'local_preload_libraries',
      'session_preload_libraries') THEN substr(setting, strpos(setting, '=') + 1)
    ELSE quote_literal(substr(setting, strpos(setting, '=') + 1)) END)
FROM pg_db_role_setting JOIN pg_authid ON pg_authid.oid = setrole, unnest(setconfig) AS setting
WHERE setdatabase = 0 AND setrole <> 10 ORDER BY 1;
"""

# One statement, whatever tables there are; exact, and in the dump's own snapshot.
_COUNT_ROWS = """
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


class PostgresqlDataset(DatasetType):
    """One PostgreSQL database with its roles, dumped as a stream by `pg_dump` on the host."""

    type: Literal["postgresql"]
    database: DatabaseName
    run_as: AccountName = "postgres"
    port: Annotated[StrictInt, Field(ge=1, le=65535)] = 5432

    @property
    def places(self) -> tuple[str, ...]:
        return (f"port {self.port}, database {self.database}",)

    def procedure(self, service: str, token: str = "", scratch: Scratch | None = None) -> Procedure:
        assert scratch is None, "a scratch place is not built yet"
        return _procedure(self, service, token)


def _procedure(dataset: PostgresqlDataset, service: str, token: str) -> Procedure:
    as_owner = ["runuser", "-u", dataset.run_as, "--"]
    connection = ["-p", str(dataset.port)]

    def psql(database: str, *options: str) -> list[str]:
        script = ["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", *options]
        return [*as_owner, "psql", *script, *connection, "-d", database]

    # The database's name is a value to psql (-v), never a part of a statement.
    exists = "SELECT 1 FROM pg_database WHERE datname = :'name';\n"
    return {
        "id": dataset.id,
        "type": dataset.type,
        "units": ["postgresql"],
        "requires": ["runuser", "psql", "pg_dump", "pg_restore", "dropdb"],
        "parts": [
            {
                "name": "roles",
                "kind": "stream",
                "file": f"{service}.{dataset.id}.roles.sql",
                "dump": [*psql(dataset.database), "-c", _ROLES],
                "restore": [*psql("postgres"), "-f", "-"],
            },
            {
                "name": "database",
                "kind": "stream",
                "file": f"{service}.{dataset.id}.pgdump",
                "dump": [
                    *as_owner,
                    *("pg_dump", "--format=custom", "--compress=0", "--snapshot={snapshot}"),
                    *connection,
                    *("-d", dataset.database),
                ],
                "session": {
                    "argv": psql(dataset.database),
                    "open": "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SELECT pg_export_snapshot();",
                    "count": _COUNT_ROWS,
                },
                "restore": [*as_owner, "pg_restore", "--create", "--exit-on-error", *connection, "-d", "postgres"],
            },
        ],
        "prepare_restore": [{"argv": [*as_owner, "dropdb", "--if-exists", "--force", *connection, dataset.database]}],
        "count": {"argv": psql(dataset.database), "stdin": _COUNT_ROWS},
        "sentinel": {
            "kind": "command",
            "write": {
                "argv": psql(dataset.database, "-v", f"token={token}"),
                "stdin": _WRITE_SENTINEL + _READ_SENTINEL,
            },
            "read": {"argv": psql(dataset.database), "stdin": _READ_SENTINEL},
        },
        "absence": [
            {
                "kind": "command",
                "what": f"PostgreSQL database {dataset.database}",
                "command": {"argv": psql("postgres", "-v", f"name={dataset.database}"), "stdin": exists},
            }
        ],
    }
