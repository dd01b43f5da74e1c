"""Asks a database server a question, with its own client program. The password is in that one's environment only."""

from __future__ import annotations

from drp.adapters.probes.base import AttemptFailed, Deadline, Target
from drp.adapters.probes.child import Finished, run
from drp.adapters.supervisor import kept_environment
from drp.domain.checks import SqlCheck

LARGEST_MEMORY_BYTES = 1 << 30
_REASONS = (
    ("password authentication failed", "it does not take the password"),
    ("Access denied", "it does not take the user, the password or the database"),
    ("no pg_hba.conf entry", "it does not let this user in from here"),
    ("is not allowed to connect", "it does not let this user in from here"),
    ("starting up", "it is starting up"),
    ("in recovery", "it is starting up"),
    ("Connection refused", "connection refused"),
    ("(111)", "connection refused"),
    ("Can't connect", "no connection to the server"),  # MariaDB's client does not say why
    ("does not exist", "the database, or what is asked for, does not exist"),
    ("Unknown database", "the database does not exist"),
    ("doesn't exist", "what is asked for does not exist"),
    ("permission denied", "the user may not read this"),
    ("command denied", "the user may not read this"),
    ("read-only transaction", "the query would change something"),
    ("READ ONLY transaction", "the query would change something"),
    ("certificate verify failed", "the server's certificate does not prove its name"),
    ("timeout", "timed out"),
    ("max_statement_time", "timed out"),
)


class SqlProbe:
    """Implements `drp.adapters.probes.base.Probe`."""

    def __init__(self, check: SqlCheck, target: Target) -> None:
        self.check, self.target = check, target
        self.milliseconds = int(check.timeout.total_seconds() * 1000)
        self.argv = self._postgresql() if check.engine == "postgresql" else self._mariadb()
        self.environment = self._environment()

    def attempt(self, deadline: Deadline) -> str:
        found = run(self.argv, deadline, environment=self.environment, memory=LARGEST_MEMORY_BYTES)
        if found.was_cut:
            raise AttemptFailed("the answer is larger than can be read")
        if found.code:
            raise AttemptFailed(_reason(found, self.argv[0]))
        result = found.output.decode("utf-8", "replace").replace("\t", "|").strip("\r\n")
        if not result:
            raise AttemptFailed("the query gives no row")
        if self.check.expect_result is not None and result != self.check.expect_result:
            raise AttemptFailed("the query gives another result than the expected one")
        return "the query gives " + ("a row" if self.check.expect_result is None else "the expected result")

    def _postgresql(self) -> list[str]:
        # No settings of the user's, no prompt for a password, rows without decoration and by portions.
        return [
            *("psql", "--no-psqlrc", "--no-password", "--quiet", "--no-align", "--tuples-only"),
            *(
                "--field-separator=|",
                "--set=ON_ERROR_STOP=1",
                "--set=FETCH_COUNT=1000",
                f"--command={self.check.query}",
            ),
        ]

    def _mariadb(self) -> list[str]:
        limit = f"SET STATEMENT max_statement_time={max(self.milliseconds / 1000, 0.1)} FOR "
        return [
            *("mariadb", "--no-defaults", "--protocol=tcp", f"--host={self.target.address}"),
            *(f"--port={self.check.port_of_server}", f"--user={self.check.user}", f"--database={self.check.database}"),
            # A server could ask for files of this machine; it gets none.
            *("--local-infile=0", "--skip-reconnect", "--batch", "--skip-column-names", "--quick"),
            *("--init-command=SET SESSION TRANSACTION READ ONLY", f"--execute={limit}{self.check.query}"),
        ]

    def _environment(self) -> dict[str, str]:
        check, authority = self.check, self.target.file(self.check.ca_certificate)
        environment = {"PATH": kept_environment().get("PATH", ""), "LC_ALL": "C.UTF-8", "HOME": "/nonexistent"}
        if check.engine == "mariadb":
            return environment | {"MYSQL_PWD": self.target.secret}
        return environment | {
            "PGHOST": check.server_name or self.target.address,
            "PGPORT": str(check.port_of_server),
            "PGDATABASE": check.database,
            "PGUSER": check.user,
            "PGPASSWORD": self.target.secret,
            "PGAPPNAME": "drp-probe",
            "PGOPTIONS": f"-c default_transaction_read_only=on -c statement_timeout={self.milliseconds}",
            **({"PGHOSTADDR": self.target.address} if check.server_name else {}),
            **({"PGSSLMODE": "verify-full", "PGSSLROOTCERT": authority} if authority else {}),
        }


def _reason(found: Finished, program: str) -> str:
    """Why it failed, in words of ours: what a server says may hold anything."""
    said = found.complaints.decode("utf-8", "replace")
    return next((told for known, told in _REASONS if known in said), f"{program} ended with {found.code}")
