"""drp inventory: what people see, what programs get, and how each command ends."""

from __future__ import annotations

import json
import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any, get_args

import pytest

from drp.adapters.clock import SystemClock
from drp.adapters.ledger import SqliteLedger
from drp.cli.common import PIPED_WIDTH
from drp.cli.inventory import HOSTINGS
from drp.domain.service import Hosting
from tests.fakes.city import make_restore_point, service_record, workspace_record
from tests.fakes.command import Done, run
from tests.fakes.workbooks import xlsx

HOSTS = {
    "all": {
        "children": {
            "primary": {
                "hosts": {
                    "identitas-1": {"ansible_host": "192.0.2.1"},
                    "pengaduan-1": {"ansible_host": "192.0.2.2", "drp_assumed": True},
                }
            },
            "recovery": {
                "hosts": {
                    "drc-identitas-1": {"ansible_host": "198.51.100.1"},
                    "drc-pengaduan-1": {"ansible_host": "198.51.100.2"},
                }
            },
        }
    }
}


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """Three services: one that can be backed up, one with a schedule, one that its agency hosts."""
    folder = tmp_path / "city"
    pengaduan = service_record("pengaduan", depends_on=["identitas"], title={"en": "Complaints", "id": "Pengaduan"})
    pengaduan["backup"] |= {"schedule": "hourly"}
    pengaduan["datasets"][0] |= {"size": "12GB", "assumed": ["size"]}
    arsip = {"schema": 1, "id": "arsip", "title": {"en": "Archive", "id": "Arsip"}, "agency": "arsip"}
    agencies = {"humas": "Bagian Hubungan Masyarakat", "arsip": "Dinas Arsip", "dinkes": "Dinas Kesehatan"}
    files: dict[str, Any] = {
        "drp.yaml": workspace_record()
        | {"agencies": agencies, "exercise_programme": {"penting": {"full": "90d"}}, "clusters": {}},
        "inventories/hosts.yaml": HOSTS,
        "inventories/services/identitas.yaml": service_record("identitas"),
        "inventories/services/pengaduan.yaml": pengaduan,
        "inventories/services/arsip.yaml": arsip | {"hosting": "agency"},
    }
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content, indent=1))
    return folder


def inventory(workspace: Path, *arguments: str | Path) -> Done:
    return run("-w", workspace, "inventory", *arguments)


def as_json(workspace: Path, *arguments: str | Path, code: int = 0) -> Any:
    done = inventory(workspace, *arguments, "--json")
    assert done.code == code, done.err
    return json.loads(done.out)


def services_of(workspace: Path) -> set[str]:
    return {path.name for path in (workspace / "inventories/services").iterdir()}


# -- list ----------------------------------------------------------------------------------------------------------


def test_the_services_and_what_should_not_be_overlooked(workspace: Path) -> None:
    done = inventory(workspace, "list")
    assert done.code == 0
    assert "3 of 3 services" in done.out
    for text in ("Complaints", "penting: 5m/15m", "at least 12 GB", "hourly", "no schedule", "no backup", "never"):
        assert text in done.out
    assert "cannot be backed up as declared: 1 of 3: arsip" in done.out
    assert "hosted by the agency itself: 1 of 3: arsip" in done.out
    assert "never exercised: 3 of 3: arsip, identitas, pengaduan" in done.out
    assert max(map(len, done.out.splitlines())) <= PIPED_WIDTH


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ((), ["arsip", "identitas", "pengaduan"]),
        (("--agency", "humas"), ["identitas", "pengaduan"]),
        (("--tier", "penting", "--hosting", "central"), ["identitas", "pengaduan"]),
        (("--hosting", "agency"), ["arsip"]),
        (("--unprotected",), ["arsip"]),
        (("--unprotected", "--agency", "humas"), []),
    ],
)
def test_only_some_services(workspace: Path, options: tuple[str, ...], expected: list[str]) -> None:
    assert [row["service"] for row in as_json(workspace, "list", *options)] == expected
    assert f"{len(expected)} of 3 services" in inventory(workspace, "list", *options).out


def test_every_kind_of_hosting_can_be_chosen() -> None:
    assert get_args(Hosting) == HOSTINGS


@pytest.mark.parametrize("option", ["--agency", "--tier", "--cluster"])
def test_a_name_to_choose_by_must_exist(workspace: Path, option: str) -> None:
    done = inventory(workspace, "list", option, "nobody")
    assert done.code == 2
    assert "known: " in done.err


def test_a_row_for_programs(workspace: Path) -> None:
    arsip, _, pengaduan = as_json(workspace, "list")
    assert (pengaduan["rto_ms"], pengaduan["data_bytes"], pengaduan["datasets_of_unknown_size"]) == (
        300_000,
        12 * 10**9,
        1,
    )
    assert (pengaduan["schedule"], pengaduan["gaps"], pengaduan["depends_on"]) == ("hourly", [], ["identitas"])
    assert (arsip["rto_ms"], arsip["depends_on"]) == (None, None)
    assert "hosted-elsewhere" in arsip["gaps"]


def test_what_is_assumed_is_listed_with_its_place(workspace: Path) -> None:
    found = [item for item in as_json(workspace, "list", "--assumed") if item["kind"] != "runbook"]  # drp's own
    assert [(item["kind"], item["name"], item["path"], item["keys"]) for item in found] == [
        ("hosts", None, ["pengaduan-1"], ["*"]),
        ("service", "pengaduan", ["datasets", "database"], ["size"]),
    ]
    for item in found:
        lines = (workspace / item["file"]).read_text().splitlines()
        place = " ".join(lines[item["line"] - 1 : item["line"] + 2])
        assert item["path"][-1] in place
    done = inventory(workspace, "list", "--assumed")
    assert "records with something that nobody has confirmed yet" in done.out
    assert "inventories/hosts.yaml:" in done.out
    assert "everything" in done.out
    assert [item["kind"] for item in as_json(workspace, "list", "--assumed", "--agency", "humas")] == ["service"]


# -- show ----------------------------------------------------------------------------------------------------------


def test_a_service_is_shown_with_its_file(workspace: Path) -> None:
    done = inventory(workspace, "show", "Complaints")
    assert done.code == 0
    assert done.out.startswith("service pengaduan: Complaints\ninventories/services/pengaduan.yaml:1\n")
    for text in ("5 m (from tier penting)", "recovers on drc-pengaduan-1", "hourly", "next runs", "identitas"):
        assert text in done.out
    found = as_json(workspace, "show", "pengaduan")
    assert (found["kind"], found["id"], found["file"]) == (
        "service",
        "pengaduan",
        "inventories/services/pengaduan.yaml",
    )
    assert len(found["backup"]["next_runs"]) == 2


@pytest.mark.parametrize("name", ["pengaduan-1", "humas", "penting", "drc", "primary", "site-loss"])
def test_other_records_are_shown(workspace: Path, name: str) -> None:
    done = inventory(workspace, "show", name)
    assert done.code == 0
    assert name in done.out.splitlines()[0]
    assert as_json(workspace, "show", name)["id"] == name


def test_a_name_that_means_several_things(workspace: Path) -> None:
    done = inventory(workspace, "show", "arsip")
    assert done.code == 2
    assert "write service:arsip or agency:arsip" in done.err
    assert inventory(workspace, "show", "agency:arsip").out.startswith("agency arsip: Dinas Arsip")


# -- hosts ---------------------------------------------------------------------------------------------------------


def test_hosts_agree_with_ansible(workspace: Path) -> None:
    done = inventory(workspace, "hosts")
    assert done.code == 0, done.err
    assert "Ansible and drp agree on 4 hosts" in done.out
    assert "runs pengaduan" in done.out


def test_hosts_that_disagree_end_with_4(workspace: Path) -> None:
    (workspace / "inventories/group_vars").mkdir()
    (workspace / "inventories/group_vars/recovery.yml").write_text("ansible_user: admin\n")
    hosts = json.loads(json.dumps(HOSTS))
    hosts["all"]["children"]["primary"]["hosts"]["spare"] = {"ansible_host": "192.0.2.9"}
    del hosts["all"]["children"]["recovery"]["hosts"]["drc-identitas-1"]
    (workspace / "inventories/hosts.yaml").write_text(json.dumps(hosts))
    done = inventory(workspace, "hosts")
    assert done.code == 4
    assert "drc-identitas-1: a service names it" in done.out
    assert "drc-pengaduan-1: ansible_user is root for drp, admin for Ansible" in done.out
    found = as_json(workspace, "hosts", code=4)
    assert [(item["host"], item["code"]) for item in found["disagreements"]] == [
        ("drc-identitas-1", "missing"),
        ("drc-pengaduan-1", "user"),
    ]
    assert found["unused"] == ["spare"]
    assert "nobody uses: spare" in done.out


def test_hosts_without_ansible_end_with_12(workspace: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert inventory(workspace, "hosts").code == 12


# -- coverage ------------------------------------------------------------------------------------------------------


def test_coverage_tells_every_figure_with_its_whole(workspace: Path) -> None:
    clock = SystemClock()
    ledger = SqliteLedger(workspace / "var/ledger.sqlite3", clock.now)
    point = make_restore_point("pengaduan", at=clock.now() - timedelta(minutes=5))
    ledger.open_run(point.id, "backup", "0" * 64, ["pengaduan"], {})
    ledger.append(point.id, "restore_point.recorded", point.record())
    ledger.close()
    done = inventory(workspace, "coverage")
    assert done.code == 0
    titles = [
        "Not backed up: 1 of 3",
        "No restore point at the DR centre: 1 of 3",
        "Protected, recovery never proved: 1 of 3",
    ]
    places = [done.out.index(title) for title in titles]
    assert places == sorted(places)
    for line in ("backup declared", "2 of 3", "protected (data within its RPO)", "0 of 2", "not counted: none"):
        assert line in done.out
    assert "agencies without a registered service: 1 of 3: dinkes" in done.out
    found = as_json(workspace, "coverage")
    assert [service["service"] for service in found["services"]] == ["arsip", "identitas", "pengaduan"]
    assert found["totals"]["protected (data within its RPO)"] == {"count": 1, "of": 3}
    assert inventory(workspace, "coverage", "--strict").code == 4


# -- import --------------------------------------------------------------------------------------------------------

GOOD = "Nama Aplikasi;OPD;RTO;Basis Data\nSistem Antrean (ANTRE);Dinas Kesehatan;4 jam;MySQL\nRekam Medis;dinkes;;\n"
FAULTY = GOOD + "Gizi;Dinas Gizi;;\nImunisasi;dinkes;4;\n"


def given(workspace: Path, text: str, name: str = "daftar.csv") -> Path:
    path = workspace.parent / name
    path.write_text(text)
    return path


def test_a_list_is_registered_and_the_workspace_stays_valid(workspace: Path) -> None:
    before = services_of(workspace)
    done = inventory(workspace, "import", given(workspace, GOOD))
    assert done.code == 0, done.err
    assert services_of(workspace) - before == {"antre.yaml", "rekam-medis.yaml"}
    assert "2 rows: 2 written" in done.out
    text = (workspace / "inventories/services/antre.yaml").read_text()
    assert "rto: 4h" in text
    assert 'source: "daftar.csv, row 2"' in text
    assert "to fill in" in text
    assert run("-w", workspace, "validate").code == 0
    assert as_json(workspace, "show", "antre")["objectives"]["rto"]["ms"] == 4 * 3_600_000
    again = inventory(workspace, "import", given(workspace, GOOD))
    assert (again.code, "2 rows: 2 kept" in again.out) == (0, True)
    assert (workspace / "inventories/services/antre.yaml").read_text() == text


def test_nothing_is_written_where_a_row_is_faulty(workspace: Path) -> None:
    before = services_of(workspace)
    done = inventory(workspace, "import", given(workspace, FAULTY))
    assert done.code == 1
    assert services_of(workspace) == before
    assert "row 4: column 'OPD': no agency 'Dinas Gizi'" in done.out
    assert "row 5: column 'RTO': '4' has no unit" in done.out
    assert 'dinas-gizi: "Dinas Gizi"' in done.out
    assert "nothing was written" in done.err


def test_faulty_rows_can_be_left_out(workspace: Path) -> None:
    before = services_of(workspace)
    found = as_json(workspace, "import", given(workspace, FAULTY), "--skip-faulty", code=3)
    assert [(row["row"], row["outcome"]) for row in found["rows"]] == [
        (2, "written"),
        (3, "written"),
        (4, "faulty"),
        (5, "faulty"),
    ]
    assert services_of(workspace) - before == {"antre.yaml", "rekam-medis.yaml"}
    assert found["unknown_agencies"] == {"dinas-gizi": "Dinas Gizi"}
    assert run("-w", workspace, "validate").code == 0


def test_a_dry_run_writes_nothing(workspace: Path) -> None:
    before = services_of(workspace)
    done = inventory(workspace, "import", given(workspace, GOOD), "--dry-run")
    assert done.code == 0
    assert "2 would be written" in done.out
    assert services_of(workspace) == before


def test_a_workbook_into_another_folder_with_columns_said_by_hand(workspace: Path, tmp_path: Path) -> None:
    path = tmp_path / "daftar.xlsx"
    path.write_bytes(xlsx({"Lain": [["x"]], "Isi": [["Kode", "Judul Sistem"], ["A1", "Gaji"]]}))
    target = tmp_path / "new"
    done = inventory(
        workspace,
        "import",
        path,
        "--sheet",
        "Isi",
        "--column",
        "name=Judul Sistem",
        "--agency",
        "dinkes",
        "--into",
        target,
    )
    assert done.code == 0, done.err
    assert [file.name for file in target.iterdir()] == ["gaji.yaml"]
    assert "Kode: A1" in (target / "gaji.yaml").read_text()
    assert "daftar.xlsx, sheet Isi, row 2" in (target / "gaji.yaml").read_text()


def test_what_the_proposed_agency_lines_say_can_be_added(workspace: Path) -> None:
    done = as_json(workspace, "import", given(workspace, 'Nama;OPD\nA;"Dinas ""X"": [y]"\n'), code=1)
    settings = json.loads((workspace / "drp.yaml").read_text())
    settings["agencies"] |= done["unknown_agencies"]
    (workspace / "drp.yaml").write_text(json.dumps(settings))
    assert inventory(workspace, "import", workspace.parent / "daftar.csv").code == 0
    assert run("-w", workspace, "validate").code == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("gone.csv",), "cannot be read"),
        (("daftar.csv", "--column", "name"), "is not FIELD=HEADER"),
        (("daftar.csv", "--column", "colour=x"), "no field 'colour'"),
        (("daftar.csv", "--column", "name=Judul"), "no header 'Judul'"),
        (("daftar.csv", "--sheet", "A"), "no sheets"),
        (("daftar.csv", "--agency", "x"), "no agency 'x'"),
        (("empty.csv",), "empty"),
        (("header.csv",), "no row below the header"),
    ],
)
def test_wrong_use_is_code_2(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], said: str
) -> None:
    given(workspace, GOOD)
    given(workspace, "", "empty.csv")
    given(workspace, "Nama;OPD\n", "header.csv")
    monkeypatch.chdir(workspace.parent)
    done = inventory(workspace, "import", *arguments)
    assert done.code == 2
    assert said in done.err


def test_hostile_cells_do_no_harm(workspace: Path, tmp_path: Path) -> None:
    cells = [
        "../../../../tmp/evil",
        "a\nid: other\nagency: humas",
        'x"}\nbackup: {dr_centre: drc',
        "!!python/object/apply:os.system [id]",
        "&a *a {b: [c]}",
        "null",
        "\x1b[2Jclear",
        "CON",
        ".hidden",
        "a/b\\c",
        "éè网",
    ]
    text = "Nama;OPD;Catatan\n" + "".join('"{0}";dinkes;"{0}"\n'.format(cell.replace('"', '""')) for cell in cells)
    before = services_of(workspace)
    done = inventory(workspace, "import", given(workspace, text))
    assert done.code == 0, done.out
    assert len(services_of(workspace) - before) == len(cells)
    assert {path.name for path in tmp_path.iterdir()} == {"city", "daftar.csv"}
    assert "\x1b" not in done.out
    validated = run("-w", workspace, "validate")
    assert validated.code == 0, validated.err
    found = {row["service"]: row for row in as_json(workspace, "list", "--agency", "dinkes")}
    assert found["a-id-other-agency-humas"]["title"]["id"] == "a id: other agency: humas"
    assert all("no-backup" in row["gaps"] for row in found.values())


def test_a_list_of_a_hundred_thousand_rows_is_refused_clearly(workspace: Path) -> None:
    done = inventory(workspace, "import", given(workspace, "Nama;OPD\n" + "A;dinkes\n" * 100_000))
    assert done.code == 2
    assert "more than 20000 rows" in done.err


# -- every width ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [80, 100, 160])
@pytest.mark.parametrize(
    "command", [("list",), ("list", "--assumed"), ("show", "pengaduan"), ("hosts",), ("coverage",)], ids=" ".join
)
def test_nothing_is_wider_than_the_terminal(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, width: int, command: tuple[str, ...]
) -> None:
    for place in ("drp.cli.common", "drp.cli.inventory"):
        monkeypatch.setattr(f"{place}.output_width", lambda: width)
    done = inventory(workspace, *command)
    assert max(map(len, done.out.splitlines())) <= width


def test_an_invalid_workspace_is_told_before_anything_is_read(workspace: Path) -> None:
    shutil.rmtree(workspace / "inventories")
    for command in (("list",), ("show", "x"), ("hosts",), ("coverage",), ("import", "gone.csv")):
        assert inventory(workspace, *command).code == 10
