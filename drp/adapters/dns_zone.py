"""Changes records of a zone at its authoritative server by RFC 2136 updates with TSIG, and reads them back there.

Questions are signed as well, and answers must be: what is read back comes from who holds the key. All goes over TCP.
"""

from __future__ import annotations

import base64
import binascii
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from drp.domain.events import Body

if TYPE_CHECKING:
    import dns.message
    import dns.rrset
    import dns.tsig

POLL_SECONDS = 0.1


class DnsTrouble(Exception):
    """What went wrong; `kind` is one that drp/domain/trouble.py explains."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind, self.text = kind, text


@dataclass(frozen=True, slots=True)
class _Found:
    """What the server says of the zone's names: {(name, type): (values, TTL)}, and the zone's serial number."""

    records: Mapping[tuple[str, str], tuple[tuple[str, ...], int]]
    serial: int

    def site_of(self, record: Body) -> str:
        values, _ = self.records[record["name"], record["type"]]
        for site in ("primary", "recovery"):
            if list(values) == record[site]:
                return site
        return "elsewhere" if values else "nowhere"

    def site(self, way: Body) -> str:
        """Where the names lead, taken together."""
        sites = {self.site_of(record) for record in way["records"]}
        return sites.pop() if len(sites) == 1 else "mixed"

    def is_done(self, way: Body) -> bool:
        return self.site(way) == way["site"] and all(ttl == way["ttl"] for _, ttl in self.records.values())

    def told(self) -> dict[str, str]:
        return {
            f"{name} {type_}": f"{', '.join(values) or 'nothing'} (TTL {ttl})"
            for (name, type_), (values, ttl) in self.records.items()
        }


def switch(way: Body, secret: str) -> Body:
    """Lead the names of a way (`drp.domain.recovery.cutover.steps`) to its site; or only read where they lead; or
    rehearse it: have the server take an update of the same names that changes nothing.

    Gives {before, after, changed, details}. DnsTrouble where the server refuses, does not answer, or says that it is
    done and still tells something else.
    """
    server = _Server(way, secret)
    before = server.look()
    if way["verb"] == "rehearse":
        server.rehearse()
        after = server.look()
        if after.records != before.records:
            raise DnsTrouble("traffic", f"the records of {way['zone']} changed while their switch was rehearsed")
        details = {"rcode": "NOERROR", "serial_before": before.serial, "serial": after.serial, "records": after.told()}
        return {"before": before.site(way), "after": after.site(way), "changed": False, "details": details}
    if way["verb"] == "read" or before.is_done(way):
        details = {"serial": before.serial, "records": before.told()}
        return {"before": before.site(way), "after": before.site(way), "changed": False, "details": details}
    server.update()
    # A server may answer before it has written the zone; not for long.
    while not (after := server.look()).is_done(way):
        if time.monotonic() > server.until:
            tells = "; ".join(f"{what}: {value}" for what, value in after.told().items())
            text = f"{way['server']} took the update without an error, and still tells {tells}"
            raise DnsTrouble("traffic_unchanged", text)
        time.sleep(POLL_SECONDS)
    details = {
        "rcode": "NOERROR",
        "serial_before": before.serial,
        "serial": after.serial,
        "records_before": before.told(),
        "records": after.told(),
    }
    return {"before": before.site(way), "after": after.site(way), "changed": True, "details": details}


class _Server:
    def __init__(self, way: Body, secret: str) -> None:
        self.way = way
        self.until = time.monotonic() + way["timeout_seconds"]
        self.key = _key(way, secret)
        self.address = _address_of(way)

    def look(self) -> _Found:
        """What the server itself says, not what a resolver remembers."""
        import dns.message
        import dns.rdataclass
        import dns.rdatatype

        records = {}
        for record in self.way["records"]:
            rrset = self.rrset_of(record)
            values = sorted(item.to_text().lower() for item in rrset) if rrset else []
            records[record["name"], record["type"]] = tuple(values), rrset.ttl if rrset else 0
        answer = self.ask(dns.message.make_query(self.way["zone"], "SOA", flags=0))
        soa = answer.get_rrset(answer.answer, answer.question[0].name, dns.rdataclass.IN, dns.rdatatype.SOA)
        if not soa:
            raise DnsTrouble(
                "traffic", f"{self.way['zone']} is no zone of {self.way['server']}: it names no SOA for it"
            )
        return _Found(records, soa[0].serial)

    def rrset_of(self, record: Body) -> dns.rrset.RRset | None:
        import dns.message
        import dns.rdataclass
        import dns.rdatatype

        answer = self.ask(dns.message.make_query(record["name"], record["type"], flags=0))
        type_ = dns.rdatatype.from_text(record["type"])
        return answer.get_rrset(answer.answer, answer.question[0].name, dns.rdataclass.IN, type_)

    def rehearse(self) -> None:
        """Ask for what is there already, on condition that it is there: a server refuses it to a key that may not
        change these names, and otherwise has nothing to do. An update that only sets conditions would not do: BIND asks
        its update-policy about each record that is to be changed, and about nothing else."""
        import dns.update

        message = dns.update.UpdateMessage(self.way["zone"])
        for record in self.way["records"]:
            name, rrset = _absolute(record["name"]), self.rrset_of(record)
            if rrset:
                message.present(name, record["type"], *(item.to_text() for item in rrset))  # conditions have no TTL
                message.add(name, rrset.to_rdataset())
            else:
                message.absent(name, record["type"])
                message.delete(name, record["type"])
        self.ask(message)

    def update(self) -> None:
        """Replace the records in one update: all of them or none."""
        import dns.update

        message = dns.update.UpdateMessage(self.way["zone"])
        for record in self.way["records"]:
            message.delete(_absolute(record["name"]), record["type"])
            for value in record[self.way["site"]]:
                message.add(_absolute(record["name"]), self.way["ttl"], record["type"], value)
        self.ask(message)

    def ask(self, message: dns.message.Message) -> dns.message.Message:
        import dns.exception
        import dns.flags
        import dns.opcode
        import dns.query
        import dns.rcode
        import dns.tsig

        where = f"{self.way['server']} port {self.way['port']}"
        is_update = message.opcode() == dns.opcode.UPDATE
        what = f"the update of {self.way['zone']}" if is_update else f"a question about {self.way['zone']}"
        message.use_tsig({self.key.name: self.key}, keyname=self.key.name, algorithm=self.key.algorithm)
        limit = max(0.1, self.until - time.monotonic())
        try:
            answer = dns.query.tcp(message, self.address, port=self.way["port"], timeout=limit)
        except (dns.tsig.PeerError, dns.tsig.BadSignature, dns.tsig.BadKey, dns.tsig.BadTime) as error:
            why = _PEER_ERRORS.get(type(error).__name__, type(error).__name__)
            raise DnsTrouble("traffic_refused", f"{where} refused the key {self.way['key']['name']}: {why}") from error
        except dns.exception.Timeout as error:
            text = f"{where} did not answer {what} within {self.way['timeout_seconds']:g} s"
            raise DnsTrouble("traffic_unreachable", text) from error
        except (OSError, EOFError) as error:
            reason = getattr(error, "strerror", None) or "it closed the connection"
            raise DnsTrouble("traffic_unreachable", f"{where}: {reason}") from error
        except dns.exception.DNSException as error:
            # An unsigned answer to a signed question has no one's word but the line's.
            raise DnsTrouble(
                "traffic_refused", f"{where} answered {what} unreadably: {type(error).__name__}"
            ) from error
        rcode = dns.rcode.to_text(answer.rcode())
        if not answer.had_tsig:
            raise DnsTrouble("traffic_refused", f"{where} answered {what} with {rcode}, and did not sign the answer")
        if answer.rcode() == dns.rcode.NXDOMAIN and not is_update:
            return answer
        if answer.rcode() != dns.rcode.NOERROR:
            raise DnsTrouble("traffic_refused", f"{where} answered {what} with {rcode}")
        if not is_update and not answer.flags & dns.flags.AA:
            text = f"{where} is not authoritative for {self.way['zone']}: it answered {what} from elsewhere"
            raise DnsTrouble("traffic_refused", text)
        return answer


_PEER_ERRORS = {
    "PeerBadKey": "NOTAUTH, BADKEY (it has no such key, or none that may do this)",
    "PeerBadSignature": "NOTAUTH, BADSIG (it has another secret, or another algorithm)",
    "PeerBadTime": "NOTAUTH, BADTIME (its clock and this one's are too far apart)",
    "PeerBadTruncation": "NOTAUTH, BADTRUNC",
    "BadSignature": "its answer was signed with another secret",
    "BadKey": "its answer was signed with another key",
    "BadTime": "its answer was signed at another time",
}


def _key(way: Body, secret: str) -> dns.tsig.Key:
    import dns.name
    import dns.tsig

    try:
        base64.b64decode(secret, validate=True)
    except (binascii.Error, ValueError):
        # Without the cause: it could quote what was read.
        raise DnsTrouble("traffic_secret", f"the secret of key {way['key']['name']} is no base64 text") from None
    algorithm = dns.name.from_text(way["key"]["algorithm"])
    return dns.tsig.Key(_absolute(way["key"]["name"]), secret, algorithm)


def _address_of(way: Body) -> str:
    try:
        found = socket.getaddrinfo(way["server"], way["port"], type=socket.SOCK_STREAM)
    except OSError as error:
        raise DnsTrouble("traffic_unreachable", f"{way['server']}: {error.strerror}") from error
    return str(found[0][4][0])


def _absolute(name: str) -> Any:
    import dns.name

    return dns.name.from_text(name)
