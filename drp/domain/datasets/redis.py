"""Redis: all databases of a server, as the RDB file that it sends to a replica."""

from __future__ import annotations

import json
import shlex
from typing import Annotated, Literal

from pydantic import Field, StrictInt

from drp.domain.datasets.base import Command, DatasetType, Procedure, Scratch, made_folder, removed
from drp.domain.values import AbsolutePath, AccountName, SocketPath

SENTINEL_KEY = "drp-sentinel"
# The mark of the end and eight bytes of checksum; a server that sends without a file adds a mark of its own.
_END_OF_RDB = r"\xff.{8}([0-9a-f]{40})?$"
START_SECONDS = 600


class RedisDataset(DatasetType):
    """All databases of a Redis server, over its `socket` or its `port` on the host itself.

    Where the server wants a password, `password_file` on the host holds it. `stop` and `start` are the commands that do
    this to the server: its data can be exchanged only while it rests. A scratch place is a server of its own.
    """

    type: Literal["redis"]
    port: Annotated[StrictInt, Field(ge=1, le=65535)] = 6379
    socket: SocketPath | None = None
    password_file: AbsolutePath | None = None
    run_as: AccountName = "redis"
    stop: Command = ("service", "redis-server", "stop")
    start: Command = ("service", "redis-server", "start")

    @property
    def places(self) -> tuple[str, ...]:
        return (f"socket {self.socket}" if self.socket else f"port {self.port}",)

    @property
    def folders(self) -> tuple[str, ...]:
        return ("/var/lib/redis",)

    def _client(self, *arguments: str) -> list[str]:
        login = ["drp:with_password", self.password_file] if self.password_file else []
        at = ["-s", self.socket] if self.socket else ["-h", "127.0.0.1", "-p", str(self.port)]
        return [*login, "redis-cli", *at, *arguments]

    def procedure(self, service: str, token: str = "", scratch: Scratch | None = None) -> Procedure:
        record = json.dumps({"token": token, "written_at": "{now}"})
        load = ["drp:redis_load", json.dumps(self.stop), json.dumps(self.start), *self._client()]
        # What it answers to a change is no record: the record is read.
        empty = {"argv": self._client("FLUSHALL"), "find": "^(?!OK$).+"}
        procedure: Procedure = {
            "id": self.id,
            "type": self.type,
            "units": ["redis-server"],
            "requires": ["python3", "redis-cli", "redis-check-rdb", "redis-server"],
            "versions": {
                "redis-cli": ["redis-cli", "--version"],
                f"server of {self.id}": self._client("EVAL", "return redis.REDIS_VERSION or 'older than 7'", "0"),
            },
            "parts": [
                {
                    "name": "data",
                    "kind": "stream",
                    "file": f"{service}.{self.id}.rdb",
                    "dump": self._client("--rdb", "-"),
                    "restore": load,
                    "by_hand": self._load_by_hand(),
                    "ends_with": _END_OF_RDB,
                }
            ],
            "prepare_restore": [],
            "remove": [empty],
            "sentinel": {
                "kind": "command",
                "token": token,
                "write": {"argv": self._client("SET", SENTINEL_KEY, record), "find": r"^\{"},
                "read": {"argv": self._client("--raw", "GET", SENTINEL_KEY)},
            },
            "absence": [
                {
                    "kind": "command",
                    "what": "Redis keys",
                    "command": {"argv": self._client("INFO", "keyspace"), "find": "^db"},
                }
            ],
        }
        return procedure if scratch is None else procedure | self._own_server(scratch, procedure)

    def _load_by_hand(self) -> str:
        """As the program does it for a server that keeps its data in a file; of an append-only log it only warns."""
        login = f'REDISCLI_AUTH="$(cat {shlex.quote(self.password_file)})" ' if self.password_file else ""
        client = login + shlex.join(self._client()[2 if self.password_file else 0 :])
        ask = f"{client} --raw CONFIG GET"
        return "\n".join(
            [
                "(",
                f"[ \"$({ask} appendonly | tail -n 1)\" = no ] || {{ echo 'appendonly must be no first'; exit 1; }}",
                f'file="$({ask} dir | tail -n 1)/$({ask} dbfilename | tail -n 1)"',
                'cat >"$file.drp-new" && redis-check-rdb "$file.drp-new" >/dev/null || exit 1',
                f'{shlex.join(self.stop)}; sleep 2; mv "$file.drp-new" "$file"',
                'chown --reference="$(dirname "$file")" "$file"',
                shlex.join(self.start),
                ")",
            ]
        )

    def _own_server(self, scratch: Scratch, procedure: Procedure) -> Procedure:
        folder = scratch.folder
        as_owner = ["runuser", "-u", self.run_as, "--"]
        server = [*as_owner, "drp:server"]
        own = ["--port", "0", "--unixsocket", f"{folder}/server.sock", "--unixsocketperm", "700", "--save", ""]
        place = ["--dir", folder, "--dbfilename", "data.rdb", "--appendonly", "no"]
        stop = {"argv": [*server, "stop", f"{folder}/server.pid"]}
        client = ["redis-cli", "-s", f"{folder}/server.sock"]
        return {
            "units": [],
            "requires": ["runuser", *procedure["requires"]],
            "parts": [part | {"restore": [*as_owner, "tee", f"{folder}/data.rdb"]} for part in procedure["parts"]],
            "prepare_restore": [stop, removed(folder), made_folder(folder, self.run_as)],
            "finish_restore": [
                {"argv": ["redis-check-rdb", f"{folder}/data.rdb"]},
                {"argv": [*server, "start", f"{folder}/server.pid", "redis-server", *own, *place]},
                {"argv": [*client, "--raw", "GET", SENTINEL_KEY], "retry_seconds": START_SECONDS},
            ],
            "remove": [stop, removed(folder)],
            "sentinel": procedure["sentinel"] | {"read": {"argv": [*client, "--raw", "GET", SENTINEL_KEY]}},
            "absence": [{"kind": "path", "what": f"path {folder}", "path": folder}],
        }
