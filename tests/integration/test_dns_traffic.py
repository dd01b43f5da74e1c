"""Names of a zone are led from one site to the other at real name servers, BIND and Knot."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import pytest

from drp.adapters.dns_zone import DnsTrouble, switch
from drp.domain.events import Body
from drp.domain.recovery.cutover import steps
from drp.domain.service import Service
from drp.domain.traffic import TrafficSite
from tests.fakes.city import service_record
from tests.integration.name_servers import SECRET, STRANGERS_SECRET, ZONE, NameServer, is_installed, name_server

pytestmark = pytest.mark.integration

WWW = {"name": f"www.{ZONE}", "type": "A", "primary": ["192.0.2.80"], "recovery": ["192.0.2.90", "192.0.2.89"]}
WWW6 = {"name": f"www.{ZONE}", "type": "AAAA", "primary": ["2001:db8:1::80"], "recovery": ["2001:DB8:2:0::80"]}
ALIAS = {"name": f"layanan.{ZONE}", "type": "CNAME", "primary": [f"satu.{ZONE}"], "recovery": [f"Dua.{ZONE}."]}


@pytest.fixture(scope="module", params=["named", "knotd"])
def server(request: pytest.FixtureRequest) -> Iterator[NameServer]:
    if not is_installed(request.param):
        pytest.skip(f"{request.param} is not installed")
    with name_server(request.param) as found:
        yield found


def way(server: NameServer, site: TrafficSite | None, *records: Body, **changes: Any) -> Body:
    """The way as drp compiles it from a service's file."""
    declared = {
        "type": "dns",
        "server": "127.0.0.1",
        "port": server.port,
        "zone": ZONE,
        "ttl": "30s",
        "key": {"name": "drp", "secret": {"file": "unused"}},
        "records": list(records or (WWW, WWW6, ALIAS)),
        "timeout": "30s",
    } | changes
    service = Service.model_validate(service_record() | {"traffic": [declared]})
    (found,) = steps(service, site, release=False)
    return found


def dig(server: NameServer, name: str, type_: str) -> list[str]:
    """What another program hears."""
    argv = ["dig", "@127.0.0.1", "-p", str(server.port), "+noall", "+answer", name, type_]
    answer = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    return sorted(" ".join(line.split()[1:]) for line in answer.splitlines())


@pytest.fixture(autouse=True)
def at_the_primary(server: NameServer) -> None:
    switch(way(server, "primary"), SECRET)


def test_names_are_switched_there_and_back_and_each_time_read_back(server: NameServer) -> None:
    there = switch(way(server, "recovery"), SECRET)
    assert (there["before"], there["after"], there["changed"]) == ("primary", "recovery", True)
    assert there["details"]["rcode"] == "NOERROR"
    assert there["details"]["serial"] > there["details"]["serial_before"]
    assert dig(server, f"www.{ZONE}", "A") == ["30 IN A 192.0.2.89", "30 IN A 192.0.2.90"]
    assert dig(server, f"www.{ZONE}", "AAAA") == ["30 IN AAAA 2001:db8:2::80"]
    assert dig(server, f"layanan.{ZONE}", "CNAME") == [f"30 IN CNAME dua.{ZONE}."]
    assert dig(server, f"dua.{ZONE}", "A") == ["300 IN A 192.0.2.82"], "nothing else was touched"

    back = switch(way(server, "primary"), SECRET)
    assert (back["before"], back["after"], back["changed"]) == ("recovery", "primary", True)
    assert dig(server, f"www.{ZONE}", "A") == ["30 IN A 192.0.2.80"]


def test_a_switch_that_is_done_already_changes_nothing(server: NameServer) -> None:
    done = switch(way(server, "recovery"), SECRET)
    again = switch(way(server, "recovery"), SECRET)
    assert (again["before"], again["after"], again["changed"]) == ("recovery", "recovery", False)
    assert again["details"]["serial"] == done["details"]["serial"]
    longer = switch(way(server, "recovery", ttl="1m"), SECRET)
    assert (longer["before"], longer["changed"]) == ("recovery", True)
    assert dig(server, f"www.{ZONE}", "A") == ["60 IN A 192.0.2.89", "60 IN A 192.0.2.90"]


def test_reading_changes_nothing_and_tells_what_is_between_the_sites(server: NameServer) -> None:
    assert switch(way(server, None), SECRET)["after"] == "primary"
    switch(way(server, "recovery", ALIAS), SECRET)
    found = switch(way(server, None), SECRET)
    assert (found["after"], found["changed"]) == ("mixed", False)
    other = WWW | {"primary": ["192.0.2.1"], "recovery": ["192.0.2.2"]}
    assert switch(way(server, None, other), SECRET)["after"] == "elsewhere"
    nothing = WWW | {"name": f"nowhere.{ZONE}"}
    assert switch(way(server, None, nothing), SECRET)["after"] == "nowhere"


def test_a_name_that_is_not_there_yet_is_made(server: NameServer) -> None:
    new = {"name": f"baru.{ZONE}", "type": "A", "primary": ["192.0.2.1"], "recovery": ["192.0.2.2"]}
    found = switch(way(server, "recovery", new), SECRET)
    assert (found["before"], found["after"]) == ("nowhere", "recovery")


def rehearsal(server: NameServer, *records: Body, **changes: Any) -> Body:
    return way(server, None, *records, **changes) | {"verb": "rehearse"}


def test_a_rehearsal_changes_nothing_and_is_refused_where_the_switch_would_be(server: NameServer) -> None:
    new = WWW | {"name": f"baru.{ZONE}"}
    before = switch(way(server, None), SECRET)
    found = switch(rehearsal(server, WWW, WWW6, ALIAS, new), SECRET)
    assert (found["before"], found["changed"]) == ("mixed", False), "one name is not there yet"
    assert found["details"]["serial"] == before["details"]["serial"]
    assert switch(way(server, None), SECRET)["details"]["records"] == before["details"]["records"]
    trouble = refused(rehearsal(server, key={"name": "stranger", "secret": {"file": "unused"}}), STRANGERS_SECRET)
    assert trouble.kind == "traffic_refused"
    assert f"the update of {ZONE}" in trouble.text or "refused the key stranger" in trouble.text
    # A name that no update of this key may touch, though it would only be removed, and is not there.
    assert refused(rehearsal(server, new, key={"name": "stranger", "secret": {"file": "unused"}}), STRANGERS_SECRET)


def refused(way: Body, secret: str = SECRET) -> DnsTrouble:
    with pytest.raises(DnsTrouble) as caught:
        switch(way, secret)
    assert secret not in caught.value.text
    return caught.value


def test_a_key_that_may_change_nothing_is_refused_with_the_servers_word(server: NameServer) -> None:
    stranger = way(server, "recovery", key={"name": "stranger", "secret": {"file": "unused"}})
    trouble = refused(stranger, STRANGERS_SECRET)
    assert trouble.kind == "traffic_refused"
    assert ("REFUSED" in trouble.text) or ("NOTAUTH" in trouble.text), trouble.text
    assert f"the update of {ZONE}" in trouble.text or "refused the key stranger" in trouble.text
    assert switch(way(server, None), SECRET)["after"] == "primary"


def test_a_wrong_secret_an_unknown_key_and_a_text_that_is_none_are_told_apart(server: NameServer) -> None:
    assert "BADSIG" in refused(way(server, "recovery"), STRANGERS_SECRET).text
    unknown = way(server, "recovery", key={"name": "nobody", "secret": {"file": "unused"}})
    assert "BADKEY" in refused(unknown).text
    trouble = refused(way(server, "recovery"), "this is no base64 text")
    assert trouble.kind == "traffic_secret"
    assert switch(way(server, None), SECRET)["after"] == "primary"


def test_a_zone_that_the_server_does_not_have_is_refused(server: NameServer) -> None:
    record = {"name": "www.desa.example", "type": "A", "primary": ["192.0.2.1"], "recovery": ["192.0.2.2"]}
    trouble = refused(way(server, "recovery", record, zone="desa.example"))
    assert trouble.kind == "traffic_refused"
    assert "desa.example" in trouble.text
    # Its names are in a zone of the server, and the zone that is declared is not.
    deeper = {"name": f"www.bagian.{ZONE}", "type": "A", "primary": ["192.0.2.1"], "recovery": ["192.0.2.2"]}
    assert "SOA" in refused(way(server, "recovery", deeper, zone=f"bagian.{ZONE}")).text


def test_a_server_that_takes_the_update_and_changes_nothing_is_caught(server: NameServer) -> None:
    """RFC 2136, 3.4.2.2: a CNAME where there are other records is passed over, and the answer is NOERROR."""
    alias = {"name": f"www.{ZONE}", "type": "CNAME", "primary": [f"satu.{ZONE}"], "recovery": [f"dua.{ZONE}"]}
    started = time.monotonic()
    trouble = refused(way(server, "recovery", alias, timeout="1s"))
    assert trouble.kind == "traffic_unchanged"
    assert "took the update without an error" in trouble.text
    assert f"www.{ZONE} CNAME: nothing" in trouble.text
    assert time.monotonic() - started < 60, "it would wait for ever"


def test_a_server_that_is_down_or_silent_is_told_within_the_limit(server: NameServer) -> None:
    server.stop()
    try:
        trouble = refused(way(server, "recovery"))
        assert (trouble.kind, "refused" in trouble.text) == ("traffic_unreachable", True)
    finally:
        server.start()
    assert server.process is not None
    server.process.send_signal(signal.SIGSTOP)
    try:
        trouble = refused(way(server, "recovery", timeout="500ms"))
        assert (trouble.kind, "did not answer" in trouble.text) == ("traffic_unreachable", True)
    finally:
        server.process.send_signal(signal.SIGCONT)
    assert switch(way(server, "recovery"), SECRET)["after"] == "recovery"
