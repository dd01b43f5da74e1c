"""Look after a repository: what it holds, what a policy would keep, forget, prune, check, and its locks."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile

from .backup import UNLOCK_LIMIT_SECONDS
from .process import OPEN_LIMIT_SECONDS, Output
from .tools import check_tools
from .trouble import Trouble, meaning_of, tail

WHOLE_ID = re.compile(r"[0-9a-f]{64}")
BROKEN_PACK = re.compile(r"(?:Pack ID does not match, want|[Pp]ack) ([0-9a-f]{64})(?!: not referenced in any index)")
CONNECTION = re.compile(
    r"connection refused|connection reset|no such host|i/o timeout|no route to host|network is unreachable"
    r"|503 |Service Unavailable|500 Internal|context deadline exceeded",
    re.IGNORECASE,
)
SAYS_DAMAGED = "repository contains errors"
SAYS_GOOD = "no errors were found"
PRUNE_SAYS = ("this removes", "to delete", "total prune", "remaining")
IDS_AT_ONCE = 100


def snapshots(host):
    """All snapshots of the repository, whoever made them."""
    check_tools(host)
    return {"snapshots": list_snapshots(host)}


def forget_plan(host):
    """What restic itself would keep and remove by a policy (`policy`, its arguments), for each part of a dataset."""
    check_tools(host)
    job = host.job
    listed = list_snapshots(host)
    answers = []
    for dataset, part in sorted({part_of(item, job) for item in listed} - {None}):
        tags = "drp,service:%s,dataset:%s,part:%s" % (job["service"], dataset, part)
        # Host and grouping are always named: 0.18.0 passes over the variable that should say the host.
        words = ["--json", "--no-lock", "--dry-run", "--host", job["restic_host"], "--tag", tags, "--group-by", "host"]
        output = restic(host, ["forget"] + words + job["policy"])
        answers.append(dict(read_answer(output, {dataset, part}), dataset=dataset, part=part))
        expected = {item["id"] for item in listed if part_of(item, job) == (dataset, part)}
        if set(answers[-1]["keep"]) | set(answers[-1]["remove"]) != expected:
            raise Trouble("strange_answer", "restic's plan does not name just the snapshots that are there", dataset)
    return {"snapshots": listed, "parts": answers}


def part_of(item, job):
    """(dataset, part) of a snapshot of the job's service on its host; None of any other."""
    values = dict(tag.split(":", 1) for tag in item["tags"] if ":" in tag)
    if "drp" not in item["tags"] or item["host"] != job["restic_host"] or values.get("service") != job["service"]:
        return None
    return (values["dataset"], values["part"]) if "dataset" in values and "part" in values else None


def read_answer(output, where):
    """The IDs that restic would keep and remove. It must be one group, as it was asked for."""
    groups = json.loads(output)
    if not isinstance(groups, list) or len(groups) != 1:
        raise Trouble("strange_answer", "restic's plan for %s is not of one group" % "/".join(sorted(where)))
    return {name: [whole(item["id"]) for item in groups[0][name] or []] for name in ("keep", "remove")}


def forget(host):
    """Forget snapshots by their whole IDs, then read back which of them are really gone. Those that are gone already
    are not asked for again, so that it can be repeated."""
    check_tools(host)
    wanted = [whole(id_) for id_ in host.job["snapshots"]]
    there = {item["id"] for item in list_snapshots(host)}
    ids = [id_ for id_ in wanted if id_ in there]
    for start in range(0, len(ids), IDS_AT_ONCE):
        alone(host, ["forget"] + ids[start : start + IDS_AT_ONCE])
        host.emit({"event": "forgotten", "count": min(len(ids), start + IDS_AT_ONCE), "of": len(ids)})
    left = {item["id"] for item in list_snapshots(host)}
    return {"gone": [id_ for id_ in wanted if id_ not in left], "left": [id_ for id_ in wanted if id_ in left]}


def prune(host):
    """Free what no snapshot needs, then look whether the repository's structure is whole."""
    tools = check_tools(host)
    text = alone(host, ["prune"])
    said = [line.strip() for line in text.splitlines() if line.strip().startswith(PRUNE_SAYS)]
    return dict(examine(host, [[0, 0]]), said=said, tools=tools)


def check(host):
    """Check the repository's structure, and the data of some `parts` ([[n, t], …]). Nothing is locked: a check must
    keep no backup waiting, and restic reads the snapshots before the index, so that one beside it does no harm."""
    tools = check_tools(host)
    return dict(examine(host, host.job["parts"] or [[0, 0]]), tools=tools)


def examine(host, parts):
    host.run_restic("cat", "config", "--no-lock", limit=min(OPEN_LIMIT_SECONDS, host.stall_seconds))
    folder = host.restic_environment["RESTIC_CACHE_DIR"]
    os.makedirs(folder, mode=0o700, exist_ok=True)
    # A place of its own: what is in the ordinary cache would be read instead of what is at the DR centre.
    with tempfile.TemporaryDirectory(prefix="check-", dir=folder) as cache:
        results = [examine_part(host, cache, part, of) for part, of in parts]
        bad = [result for result in results if not result["good"]]
        hit = find_hit(host, cache, sorted({pack for result in bad for pack in result["packs"]})) if bad else []
    return {"checks": results, "good": not bad, "hit": hit}


def examine_part(host, cache, part, of):
    """Check one part. Damage is only believed when it is found twice: restic 0.18.0 finds some that is not there after
    a download that it had to repeat."""
    result = check_once(host, cache, part, of)
    result["doubted"] = not result["good"]
    if result["doubted"]:
        host.emit({"event": "check.doubted", "part": part, "parts": of, "text": result["text"]})
        shutil.rmtree(cache, ignore_errors=True)
        os.makedirs(cache, mode=0o700)
        result = dict(check_once(host, cache, part, of), doubted=True)
    host.emit({"event": "check.part", "part": part, "parts": of, "good": result["good"]})
    return result


def check_once(host, cache, part, of):
    argv = ["check", "--json", "--no-lock", "--cache-dir", cache]
    if of:
        argv += ["--read-data-subset", "%d/%d" % (part, of)]
    code, output, errors = run_restic_to_its_end(host, argv)
    good = says_good(code, output, errors)
    packs = [] if good else sorted(set(BROKEN_PACK.findall(output + errors)))
    return {"part": part, "parts": of, "good": good, "packs": packs, "text": "" if good else tail(errors, 8)}


def says_good(code, output, errors):
    """Whether restic found the repository good, or damaged; Trouble where it says neither."""
    text = errors + output
    if code == 0:
        summary = summary_of(output)
        if summary is not None:
            return not summary["num_errors"] and not summary["broken_packs"]
        if SAYS_GOOD in text and SAYS_DAMAGED not in text:
            return True
        raise Trouble("strange_answer", "restic ended with 0, but not by saying that it found no errors: " + tail(text))
    if code == 1 and SAYS_DAMAGED in text and not CONNECTION.search(text):
        return False
    kind = "unreachable" if CONNECTION.search(text) else meaning_of(text)
    raise Trouble(kind, "restic ended with %d: %s" % (code, tail(text)))


def summary_of(output):
    """The summary that 0.18 writes as JSON; None from older ones."""
    for line in output.splitlines():
        try:
            message = json.loads(line)
        except ValueError:
            continue
        if isinstance(message, dict) and message.get("message_type") == "summary":
            return message
    return None


def find_hit(host, cache, packs):
    """The snapshots that the damage is in, as far as restic can tell: those with data in broken packs, and those whose
    trees or pieces it does not find. Empty where it cannot tell."""
    try:
        listed = list_snapshots(host)
    except (Trouble, ValueError):
        return []
    hit = set()
    for pack in packs:
        argv = ["find", "--json", "--no-lock", "--cache-dir", cache, "--pack", pack]
        code, output, _ = run_restic_to_its_end(host, argv)
        if code != 0:
            return []  # then any of them may be
        hit.update(re.findall(r'"snapshot":"([0-9a-f]{64})"', output))
    for item in listed:
        argv = ["stats", "--json", "--no-lock", "--cache-dir", cache, "--mode", "raw-data", item["id"]]
        if item["id"] not in hit and run_restic_to_its_end(host, argv)[0] != 0:
            hit.add(item["id"])
    return sorted(hit)


def locks(host):
    """The repository's locks, and of those that this very machine made, whether their process still runs."""
    check_tools(host)
    node, found = os.uname().nodename, []
    limit = min(OPEN_LIMIT_SECONDS, host.stall_seconds)
    for id_ in host.run_restic("list", "locks", "--no-lock", limit=limit).split():
        try:
            lock = json.loads(host.run_restic("cat", "lock", whole(id_), "--no-lock", limit=limit))
        except Trouble:
            if id_ in host.run_restic("list", "locks", "--no-lock", limit=limit).split():
                raise
            continue  # its owner has taken it away meanwhile
        entry = {"id": id_, "node": lock["hostname"], "pid": lock["pid"], "user": lock.get("username", "")}
        entry.update(time=lock["time"], exclusive=lock["exclusive"])
        entry["runs"] = a_restic_runs(lock["pid"]) if lock["hostname"] == node else None
        found.append(entry)
    return {"node": node, "locks": found}


def a_restic_runs(pid):
    """Whether a process of this number is a restic. Numbers are used again: another program proves nothing."""
    try:
        with open("/proc/%d/comm" % pid) as file:
            name = file.read()
        with open("/proc/%d/stat" % pid) as file:
            state = file.read().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return "restic" in name and state not in ("Z", "X")


# -- restic ----------------------------------------------------------------------------------------------------------


def list_snapshots(host):
    """What the repository holds: [{id, time, host, tags}]."""
    listed = json.loads(restic(host, ["snapshots", "--json", "--no-lock"]))
    if not isinstance(listed, list):
        raise Trouble("strange_answer", "restic's list of snapshots is no list")
    return [
        {"id": whole(item["id"]), "time": item["time"], "host": item["hostname"], "tags": item.get("tags") or []}
        for item in listed
    ]


def whole(id_):
    if not isinstance(id_, str) or not WHOLE_ID.fullmatch(id_):
        raise Trouble("strange_answer", "%r is not a whole ID" % (id_,))
    return id_


def restic(host, arguments):
    """Run restic for as long as something moves; its output, or Trouble. Every code but 0 is a failure."""
    code, output, errors = run_restic_to_its_end(host, arguments)
    if code != 0:
        text = errors + output
        raise Trouble(meaning_of(text), "restic ended with %d: %s" % (code, tail(text)))
    return output


def alone(host, arguments):
    """Run a restic that locks all others out, and leave no lock behind where it was ended (0.14 may)."""
    try:
        return restic(host, arguments)
    except Trouble:
        if host.has_ended_restic:
            try:
                host.run_restic("unlock", limit=UNLOCK_LIMIT_SECONDS)
            except Trouble:
                pass  # the DR centre is away; the next run takes the lock away
        raise


def run_restic_to_its_end(host, arguments):
    """(code, output, errors) of a restic that may take hours, but must not stand still."""
    argv = host.restic + arguments
    process = host.start(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    output, errors = Output(process.stdout), Output(process.stderr)
    host.wait(process)
    return process.returncode, output.text(), errors.text()
