"""PostgreSQL: all databases of a server with all its roles, one snapshot for each database."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StrictInt

from drp.domain.datasets.base import DatasetType, Procedure, Scratch, made_folder, removed
from drp.domain.datasets.postgresql import ALL_ROLES, COUNT_ROWS, Client
from drp.domain.values import AccountName

# As values of a connection string, since a database's name may look like one.
_DATABASES = """
SELECT coalesce(json_agg(replace(replace(datname, '\\', '\\\\'), '''', '\\''') ORDER BY datname), '[]')
FROM pg_database WHERE datallowconn AND NOT datistemplate;
"""
_DROP_ALL = """
SELECT format('DROP DATABASE %I WITH (FORCE)', datname)
FROM pg_database WHERE datallowconn AND NOT datistemplate \\gexec
"""
_COUNT_ROWS = COUNT_ROWS.replace("SELECT n.nspname ||", "SELECT current_database() || '.' || n.nspname ||")
_ONE = "dbname='{item}'"
_INITDB, _POSTGRES = (
    f"{name}|/usr/lib/postgresql/*/bin/{name}|/usr/pgsql-*/bin/{name}" for name in ("initdb", "postgres")
)
START_SECONDS = 60


class PostgresqlClusterDataset(DatasetType):
    """All databases of a PostgreSQL server with all its roles. Each database is of one moment, in their order by name.

    Template databases, tablespaces and the server's own settings are not in it; a role that exists where it is restored
    keeps its password. A scratch place is a server of its own.
    """

    type: Literal["postgresql-cluster"]
    run_as: AccountName = "postgres"
    port: Annotated[StrictInt, Field(ge=1, le=65535)] = 5432

    @property
    def places(self) -> tuple[str, ...]:
        return (f"port {self.port}",)

    @property
    def folders(self) -> tuple[str, ...]:
        return ("/var/lib/postgresql",)

    def procedure(self, service: str, token: str = "", scratch: Scratch | None = None) -> Procedure:
        connection = ["-p", str(self.port)] if scratch is None else ["-h", scratch.folder, "-p", str(self.port)]
        source, client = Client(self.run_as, ["-p", str(self.port)]), Client(self.run_as, connection)
        drop_all = {"argv": client.psql("template1"), "stdin": _DROP_ALL}
        make_first = {"argv": client.psql("template1"), "stdin": "CREATE DATABASE postgres;\n"}
        others = "SELECT datname FROM pg_database WHERE NOT datistemplate AND datname <> 'postgres';\n"
        procedure: Procedure = {
            "id": self.id,
            "type": self.type,
            "units": ["postgresql"],
            "requires": ["runuser", "psql", "pg_dump", "pg_restore"],
            "versions": source.versions(self.id),
            "parts": [
                source.roles_part(
                    f"{service}.{self.id}.roles.sql", "template1", [*client.psql("template1"), "-f", "-"], ALL_ROLES
                ),
                {
                    "name": "database:{item_name}",
                    "file": f"{service}.{self.id}.{{item_name}}.pgdump",
                    "each": {"argv": source.psql("template1"), "stdin": _DATABASES},
                    **source.dump(_ONE, _COUNT_ROWS),
                    "restore": client.program("pg_restore", "--create", "--exit-on-error", "-d", "template1"),
                },
            ],
            "prepare_restore": [drop_all],
            "remove": [drop_all, make_first],
            "count": {
                "each": {"argv": client.psql("template1"), "stdin": _DATABASES},
                "argv": client.psql(_ONE),
                "stdin": _COUNT_ROWS,
            },
            "sentinel": client.sentinel("postgres", token),
            "absence": [
                {
                    "kind": "command",
                    "what": f"PostgreSQL databases on port {self.port}",
                    "command": {"argv": client.psql("template1"), "stdin": others},
                }
            ],
        }
        return procedure if scratch is None else procedure | self._own_server(scratch, client, drop_all)

    def _own_server(self, scratch: Scratch, client: Client, drop_all: Procedure) -> Procedure:
        folder = scratch.folder
        as_owner = ["runuser", "-u", self.run_as, "--"]
        server = [*as_owner, "drp:server"]
        stop = {"argv": [*server, "stop", f"{folder}/server.pid"]}
        settings = ["-D", f"{folder}/data", "-k", folder, "-p", str(self.port), "-c", "listen_addresses="]
        return {
            "units": [],
            "requires": ["runuser", "python3", "psql", "pg_dump", "pg_restore", _INITDB, _POSTGRES],
            "prepare_restore": [
                stop,
                removed(folder),
                made_folder(folder, self.run_as),
                {"argv": [*as_owner, _INITDB, "-D", f"{folder}/data", "-A", "peer", "-E", "UTF8", "--locale=C"]},
                {"argv": [*server, "start", f"{folder}/server.pid", _POSTGRES, *settings]},
                {"argv": [*client.psql("template1"), "-c", "SELECT 1"], "retry_seconds": START_SECONDS},
                drop_all,
            ],
            "remove": [stop, removed(folder)],
            "absence": [{"kind": "path", "what": f"path {folder}", "path": folder}],
        }
