"""MariaDB and MySQL: one database, or all of a server, dumped in one moment with the accounts that may use them."""

from __future__ import annotations

import shlex
from typing import Literal

from drp.domain.datasets.base import DatasetType, Procedure, Scratch, made_folder, removed
from drp.domain.values import AbsolutePath, AccountName, DatabaseName, Query, SocketPath

# Older systems, and MySQL, know the programs by their older names.
CLIENT, DUMP, CHECK, INSTALL, SERVER = (
    "mariadb|mysql",
    "mariadb-dump|mysqldump",
    "mariadb-check|mysqlcheck",
    "mariadb-install-db|mysql_install_db",
    "mariadbd|mysqld|/usr/sbin/mariadbd|/usr/sbin/mysqld",
)
_END = r"-- Dump completed[^\n]*\n$"
_ACCOUNTS_END = r"-- drp: these were the accounts\n$"
START_SECONDS = 60

_CHARACTER_SET = """
SELECT CONCAT('ALTER DATABASE CHARACTER SET ', DEFAULT_CHARACTER_SET_NAME, ' COLLATE ', DEFAULT_COLLATION_NAME, ';')
FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = DATABASE();
"""

# Accounts as statements that may be run again: one that exists keeps its password. Roles are not carried.
_ACCOUNTS = """
SET SESSION group_concat_max_len = 1048576;
SET @is_mariadb = VERSION() LIKE '%MariaDB%';
SELECT CONCAT('CREATE USER IF NOT EXISTS ', QUOTE(User), '@', QUOTE(Host), IF(plugin = '', '', CONCAT(
    IF(@is_mariadb, ' IDENTIFIED VIA ', ' IDENTIFIED WITH '), plugin, IF(authentication_string = '', '',
      CONCAT(IF(@is_mariadb, ' USING ', ' AS '), QUOTE(authentication_string))))), ';')
  FROM mysql.user AS account WHERE Host <> '' AND User <> 'mariadb.sys' AND ({all} OR EXISTS (
    SELECT 1 FROM mysql.db WHERE mysql.db.User = account.User AND mysql.db.Host = account.Host AND DATABASE() LIKE Db)
    OR EXISTS (SELECT 1 FROM mysql.tables_priv AS t WHERE t.User = account.User AND t.Host = account.Host
      AND Db = DATABASE()));
SELECT CONCAT('GRANT ', GROUP_CONCAT(PRIVILEGE_TYPE), ' ON *.* TO ', GRANTEE,
    IF(MAX(IS_GRANTABLE) = 'YES', ' WITH GRANT OPTION', ''), ';')
  FROM information_schema.USER_PRIVILEGES WHERE {all} AND GRANTEE LIKE '%@%_''' AND GRANTEE NOT LIKE '''mariadb.sys''%'
  GROUP BY GRANTEE;
SELECT CONCAT('GRANT ', GROUP_CONCAT(PRIVILEGE_TYPE), ' ON `', REPLACE(TABLE_SCHEMA, '`', '``'), '`.* TO ', GRANTEE,
    IF(MAX(IS_GRANTABLE) = 'YES', ' WITH GRANT OPTION', ''), ';')
  FROM information_schema.SCHEMA_PRIVILEGES WHERE ({all} OR DATABASE() LIKE TABLE_SCHEMA) AND GRANTEE LIKE '%@%_'''
  GROUP BY GRANTEE, TABLE_SCHEMA;
SELECT CONCAT('GRANT ', GROUP_CONCAT(PRIVILEGE_TYPE), ' ON `', REPLACE(TABLE_SCHEMA, '`', '``'), '`.`',
    REPLACE(TABLE_NAME, '`', '``'), '` TO ', GRANTEE, IF(MAX(IS_GRANTABLE) = 'YES', ' WITH GRANT OPTION', ''), ';')
  FROM information_schema.TABLE_PRIVILEGES WHERE ({all} AND TABLE_SCHEMA <> 'mysql' OR DATABASE() = TABLE_SCHEMA)
    AND GRANTEE LIKE '%@%_''' GROUP BY GRANTEE, TABLE_SCHEMA, TABLE_NAME;
SELECT CONCAT('GRANT ', GROUP_CONCAT(CONCAT(PRIVILEGE_TYPE, ' (`', REPLACE(COLUMN_NAME, '`', '``'), '`)')), ' ON `',
    REPLACE(TABLE_SCHEMA, '`', '``'), '`.`', REPLACE(TABLE_NAME, '`', '``'), '` TO ', GRANTEE, ';')
  FROM information_schema.COLUMN_PRIVILEGES WHERE ({all} AND TABLE_SCHEMA <> 'mysql' OR DATABASE() = TABLE_SCHEMA)
    AND GRANTEE LIKE '%@%_''' GROUP BY GRANTEE, TABLE_SCHEMA, TABLE_NAME;
SELECT '-- drp: these were the accounts';
"""

_DATABASES = """
SET SESSION group_concat_max_len = 1048576;
SELECT CONCAT('[', COALESCE(GROUP_CONCAT(JSON_QUOTE(SCHEMA_NAME) ORDER BY SCHEMA_NAME), ''), ']')
FROM information_schema.SCHEMATA
WHERE SCHEMA_NAME NOT IN ('information_schema', 'mysql', 'performance_schema', 'sys');
"""

_WRITE_SENTINEL = """
CREATE DATABASE IF NOT EXISTS {database};
CREATE TABLE IF NOT EXISTS {database}.drp_sentinel (only_row INT PRIMARY KEY, token VARCHAR(200) NOT NULL,
  written_at DATETIME(6) NOT NULL) ENGINE = InnoDB;
REPLACE INTO {database}.drp_sentinel VALUES (1, '{token}', UTC_TIMESTAMP(6));
"""
_READ_SENTINEL = """
SELECT CONCAT('{{"token": "', token, '", "written_at": "', DATE_FORMAT(written_at, '%Y-%m-%dT%H:%i:%s.%fZ'), '"}}')
FROM {database}.drp_sentinel;
"""
_READ_NEWEST = """
SET SESSION TRANSACTION READ ONLY;
SET SESSION time_zone = '+00:00';
SELECT DATE_FORMAT(({query}), '%Y-%m-%dT%H:%i:%s.%fZ');
"""
_SENTINEL_DATABASE = "drp"
_DROP_BY_HAND = (
    "{client} -e 'SHOW DATABASES' | grep -vxE 'information_schema|mysql|performance_schema|sys'"
    " | sed 's/`/``/g; s/.*/DROP DATABASE `&`;/' | {client}"
)


class MariadbDataset(DatasetType):
    """One database of MariaDB or MySQL, or all of a server where `database` is missing.

    drp logs in over the server's socket as the system's account `run_as`, or with what the file `login` on the host
    says (an option file as MariaDB's programs read it). A scratch place for all is a server of its own. Tables of
    engines without transactions, such as MyISAM, are not of one moment.

    `freshness` is a query for the time of the newest transaction, in UTC (a TIMESTAMP is; of a DATETIME nobody knows:
    use CONVERT_TZ). It dates the data in the place of the sentinel.
    """

    type: Literal["mariadb"]
    database: DatabaseName | None = None
    run_as: AccountName = "root"
    server_account: AccountName = "mysql"
    socket: SocketPath | None = None
    login: AbsolutePath | None = None
    freshness: Query | None = None

    @property
    def dated_by(self) -> Literal["sentinel", "freshness", "nothing"]:
        return "freshness" if self.freshness else "sentinel"

    @property
    def places(self) -> tuple[str, ...]:
        server = f"socket {self.socket}" if self.socket else "server"
        return (f"{server}, database {self.database}" if self.database else server,)

    @property
    def folders(self) -> tuple[str, ...]:
        return ("/var/lib/mysql",)

    def procedure(self, service: str, token: str = "", scratch: Scratch | None = None) -> Procedure:
        if self.database is None:
            return self._of_all(service, token, scratch)
        return self._of_one(self.database, service, token, scratch)

    def _program(self, name: str, *arguments: str, socket: str | None = None) -> list[str]:
        # The option file must come first. A scratch server knows no other login than that of its own account.
        login = [f"--defaults-extra-file={self.login}"] if self.login and not socket else []
        socket = socket or self.socket
        account = self.server_account if socket and socket != self.socket else self.run_as
        at = [f"--socket={socket}"] if socket else []
        return ["runuser", "-u", account, "--", name, *login, *at, *arguments]

    def _client(self, *arguments: str, socket: str | None = None) -> list[str]:
        options = ["--batch", "--skip-column-names", "--raw", "--default-character-set=utf8mb4"]
        return self._program(CLIENT, *options, *arguments, socket=socket)

    def _dump(self, *arguments: str) -> list[str]:
        whole = ["--single-transaction", "--quick", "--routines", "--triggers", "--events", "--hex-blob", "--comments"]
        return self._program(DUMP, *whole, "--default-character-set=utf8mb4", *arguments)

    def _basis(self, token: str, database: str, socket: str | None = None) -> Procedure:
        read = {"argv": self._client(socket=socket), "stdin": _READ_SENTINEL.format(database=f"`{database}`")}
        written = _WRITE_SENTINEL.format(database=f"`{database}`", token=token)
        return {
            "id": self.id,
            "type": self.type,
            "units": ["mariadb"],
            "requires": ["runuser", CLIENT, DUMP, CHECK],
            "versions": {
                "mariadb-dump": [DUMP, "--version"],
                "mariadb": [CLIENT, "--version"],
                f"server of {self.id}": self._client("-e", "SELECT VERSION()"),
            },
            "sentinel": {
                "kind": "command",
                "token": token,
                "write": {"argv": self._client(), "stdin": written},
                "read": read,
            }
            if self.freshness is None
            else {
                "kind": "freshness",
                "read": {
                    "argv": self._client(*(["-D", database] if self.database else []), socket=socket),
                    "stdin": _READ_NEWEST.replace("{query}", self.freshness),
                },
            },
        }

    def _of_one(self, name: str, service: str, token: str, scratch: Scratch | None) -> Procedure:
        target = scratch.name if scratch else name
        drop = {"argv": self._client(), "stdin": f"DROP DATABASE IF EXISTS `{target}`;\n"}
        make = {"argv": self._client(), "stdin": f"CREATE DATABASE `{target}`;\n"}
        file = f"{service}.{self.id}"
        stream = {"kind": "stream"}
        accounts = {
            "name": "accounts",
            "file": f"{file}.accounts.sql",
            "dump": self._client("-D", name, "-e", _ACCOUNTS.format(all="FALSE")),
            "restore": self._client(),
            "ends_with": _ACCOUNTS_END,
        }
        definition = {
            "name": "definition",
            "file": f"{file}.definition.sql",
            "dump": self._client("-D", name, "-e", _CHARACTER_SET),
            "restore": self._client("-D", target),
            "ends_with": ";\n$",
        }
        database = {
            "name": "database",
            "file": f"{file}.sql",
            "dump": self._dump("--", name),
            "restore": self._client("-D", target),
            "ends_with": _END,
        }
        parts = [definition, database] if scratch else [definition, database, accounts]
        # A database's name that could end a literal is refused where it is read.
        exists = f"SELECT SCHEMA_NAME FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = '{target}';\n"  # noqa: S608
        return self._basis(token, name if scratch is None else target) | {
            "parts": [stream | part for part in parts],
            "prepare_restore": [drop, make],
            "remove": [drop],
            "checks": [{"what": "every table is sound", "argv": self._program(CHECK, "--databases", target)}],
            "absence": [
                {
                    "kind": "command",
                    "what": f"MariaDB database {target}",
                    "command": {"argv": self._client(), "stdin": exists},
                }
            ],
        }

    def _of_all(self, service: str, token: str, scratch: Scratch | None) -> Procedure:
        socket = f"{scratch.folder}/server.sock" if scratch else None
        client = self._client(socket=socket)
        by_hand = _DROP_BY_HAND.replace("{client}", shlex.join(client).replace(f"'{CLIENT}'", CLIENT.split("|")[0]))
        drop = {"argv": ["drp:mariadb_drop", *client], "by_hand": by_hand}
        file = f"{service}.{self.id}"
        # A database may have any name, and it is known only when it is dumped: the dump itself says where it goes.
        databases = {
            "name": "database:{item_name}",
            "kind": "stream",
            "file": f"{file}.{{item_name}}.sql",
            "each": {"argv": self._client(), "stdin": _DATABASES},
            "dump": self._dump("--databases", "--", "{item}"),
            "restore": client,
            "ends_with": _END,
        }
        accounts = {
            "name": "accounts",
            "kind": "stream",
            "file": f"{file}.accounts.sql",
            "dump": self._client("-e", _ACCOUNTS.format(all="TRUE")),
            "restore": client,
            "ends_with": _ACCOUNTS_END,
        }
        check = {"what": "every table is sound", "argv": self._program(CHECK, "--all-databases", socket=socket)}
        basis = self._basis(token, _SENTINEL_DATABASE, socket)
        procedure = basis | {
            "requires": ["python3", *basis["requires"]],
            "parts": [databases, accounts],
            "prepare_restore": [drop],
            "checks": [check],
            "absence": [
                {
                    "kind": "command",
                    "what": "MariaDB databases",
                    "command": {"argv": client, "stdin": _DATABASES, "find": r'"'},
                }
            ],
        }
        return procedure if scratch is None else procedure | self._own_server(scratch, basis["requires"], drop)

    def _own_server(self, scratch: Scratch, requires: list[str], drop: Procedure) -> Procedure:
        folder, account = scratch.folder, self.server_account
        as_server = ["runuser", "-u", account, "--"]
        own = [f"--datadir={folder}/data", f"--socket={folder}/server.sock", "--skip-networking"]
        server = [*as_server, "drp:server"]
        stop = {"argv": [*server, "stop", f"{folder}/server.pid"]}
        install = [INSTALL, "--no-defaults", f"--datadir={folder}/data", "--skip-test-db"]
        by_account = ["--auth-root-authentication-method=socket", f"--auth-root-socket-user={account}"]
        ready = self._client("-e", "SELECT 1", socket=f"{folder}/server.sock")
        return {
            "units": [],
            "requires": ["python3", *requires, INSTALL, SERVER],
            "prepare_restore": [
                stop,
                removed(folder),
                made_folder(folder, account),
                {"argv": [*as_server, *install, *by_account]},
                {"argv": [*server, "start", f"{folder}/server.pid", SERVER, "--no-defaults", *own]},
                {"argv": ready, "retry_seconds": START_SECONDS},
                drop,
            ],
            "remove": [stop, removed(folder)],
            "absence": [{"kind": "path", "what": f"path {folder}", "path": folder}],
        }
