"""What an earlier version wrote (tests/recordings/before/README.md) is read, judged and undone as that version did."""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from chaos.errors import OrdealError
from chaos.harm import load_all as load_faults
from chaos.harm.ballast import BALLAST
from chaos.harm.base import registered, undo_pending
from chaos.harm.daemon import _STAT
from chaos.hosts.places import journals_dir
from chaos.judge import load_all as load_promises
from chaos.judge.base import Finding, Recipe, Verdict, judge, made_again
from chaos.judge.catalogue import find
from chaos.record import records
from chaos.record.journal import Pending, pending
from chaos.record.lines import proof_as_now
from chaos.record.registry import kinds, was_observation
from chaos.report import archive
from chaos.report.bundle import RESULTS
from chaos.report.verify import verify
from chaos.results.results import finding_as_json
from chaos.results.saved import SavedRun, load
from chaos.run.verdict import verdict_of
from chaos.subjects.volumes.driver import FOLDER
from tests.replayed import Call, Replayed

load_faults()
load_promises()
HERE = Path(__file__).parent / "recordings" / "before"
KINDS = sorted(path.stem for path in (HERE / "journals").glob("*.jsonl"))
HOME = "/home/user/.local/state"  # where the earlier version kept its state
RENEWED = re.compile(r'("renewTime": )"[^"]*"')


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state"


# --- recordings

RECORDED = HERE / "run.zip"
# By test and invariant: the commit since which a finding is deliberately another one, and why.
JUDGED_OTHERWISE: Mapping[tuple[str, str], tuple[str, str]] = {}
COMPARED = ("name", "verdict", "reason", "sentence", "figures", "proof")


@dataclass(frozen=True)
class Old:
    """The run of the bundle: as it is read today, and what its results say of each replay."""

    run: SavedRun
    said: Sequence[Mapping[str, Any]]


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Old:
    folder = tmp_path_factory.mktemp("old")
    with archive.opened(RECORDED) as bundle:
        for name in bundle.names:
            bundle.unpack(name, folder)
    said = json.loads((folder / RESULTS).read_text())["incidents"]
    return Old(load(folder, str(folder / RESULTS)), said)


def test_the_results_and_all_their_recordings_are_read(old: Old) -> None:
    assert (len(old.run.outcomes), sum(o.passed for o in old.run.outcomes)) == (12, 12)
    assert not old.run.missing()
    assert not old.run.unreadable()


def test_the_recordings_hold_every_kind_of_record_but_four(old: Old) -> None:
    """Nothing was run of upstream's specs, nobody looked whether harm lasts, or how long pods wait for a processor."""
    own = {kind for kind, made in kinds().items() if made.__module__ == records.__name__}
    there = {each.kind for path in old.run.histories for each in old.run.history(path)}
    # "unreadable" is a fact of a node that could not be had
    assert own - there == {"spec", "unreadable", "harm-look", "processor-wait"}
    assert "unread" not in there


def test_what_it_kept_as_observations_are_the_subjects_records_by_now(old: Old) -> None:
    """Those that are in none of its replays are in test_observations.py."""
    there = {each.kind for path in old.run.histories for each in old.run.history(path)}
    was = {kind for kind in kinds() if was_observation(kind) is not None}
    assert was & there == {
        *("daemon-processes", "said-too-many-open-files", "node-identity", "kernel-memory-limit"),
        *("volume-held-by", "written"),
    }


def test_each_finding_is_judged_again_as_it_was(old: Old) -> None:
    differs: dict[tuple[str, str], list[str]] = {}
    judged = 0
    for outcome, entry in zip(old.run.outcomes, old.said, strict=True):
        for found, said in zip(outcome.findings, entry["invariants"], strict=True):
            again = judge(made_again(Recipe(found.promise, found.arguments or {})), old.run.history(found.history))
            now = json.loads(json.dumps(finding_as_json(again, found.history)))
            judged += 1
            then = {**said, "proof": json.loads(json.dumps([proof_as_now(each) for each in said["proof"]]))}
            if other := [f"{k}: {then.get(k)} then, {now.get(k)} now" for k in COMPARED if then.get(k) != now.get(k)]:
                differs[outcome.test, found.invariant] = other
    assert judged == 45
    assert {key: how for key, how in differs.items() if key not in JUDGED_OTHERWISE} == {}
    assert {*JUDGED_OTHERWISE} <= {*differs}, "what is named as judged otherwise is"


def test_each_verdict_follows_from_its_findings_as_it_did(old: Old) -> None:
    for outcome in old.run.outcomes:
        findings = [
            Finding(f.invariant, Verdict(f.verdict), f.sentence, reason=f.reason, figures=f.figures)
            for f in outcome.findings
        ]
        verdict, passed, why = verdict_of(find(outcome.id), outcome.control or None, findings, "", outcome.kubernetes)
        assert (verdict, passed) == (outcome.verdict, outcome.passed), outcome.test
        assert outcome.why.startswith(why), outcome.test


def test_verify_refuses_it_and_says_who_can_check_it() -> None:
    """By fe45166 a recording says of which replay it is, and each replay is checked against what its suite declares:
    neither is in a bundle of the first format, so nothing could be called verified.
    """
    with pytest.raises(OrdealError) as refused:
        verify(RECORDED)
    said = f"{RECORDED} has format 1, this version reads 2: check it with the version of kube-ordeal that made it"
    assert str(refused.value) == said


# --- journals


@dataclass(frozen=True)
class Different:
    """A call of undo that is another one since a commit, and why. `calls` takes the recorded ones and gives today's."""

    since: str
    why: str
    calls: Callable[[Pending, list[Call]], list[Call]]


def _at_its_address(found: Pending, calls: list[Call]) -> list[Call]:
    at = found.saved["was"]
    return [replace(c, name="power_on_at", args=[*c.args, at]) if c.name == "power_on" else c for c in calls]


def _plainly(_: Pending, calls: list[Call]) -> list[Call]:
    return [replace(c, args=["GET", "/version", None]) if c.args[1:2] == ["/version/"] else c for c in calls]


def _by_its_own_clock(_: Pending, calls: list[Call]) -> list[Call]:
    """The node says its date between its uptime and the kubelet's arguments."""
    uptime, arguments = "cat /proc/uptime; ", "/usr/bin/kubelet\n"

    def dated(call: Call) -> Call:
        script = str(call.args[-1][-1]) if call.name == "node_exec" else ""
        if uptime not in script:
            return call
        asked = [*call.args[:-1], [*call.args[-1][:-1], script.replace(uptime, f"{uptime}date +%s.%N; ")]]
        output = call.answer["Output"]
        said = output["out"].replace(arguments, f"{datetime.now(UTC).timestamp():.9f}\n{arguments}", 1)
        return replace(call, args=asked, answer={"Output": {**output, "out": said}})

    return [dated(call) for call in calls]


def _in_words(_: Pending, calls: list[Call]) -> list[Call]:
    """The node says that the file is there, where its exit code said so."""

    def asked(call: Call) -> Call:
        if call.name != "node_exec" or call.args[-1][0] != "test":
            return call
        script = f"[ ! -e {call.args[-1][-1]} ] || echo there"
        out = "there\n" if call.answer["Output"]["code"] == 0 else ""
        return replace(
            call, args=[*call.args[:-1], ["sh", "-c", script]], answer={"Output": {"code": 0, "out": out, "err": ""}}
        )

    return [asked(call) for call in calls]


def _by_the_node(_: Pending, calls: list[Call]) -> list[Call]:
    """The node says whether the process is there, where the exit code of reading its file said so."""

    def asked(call: Call) -> Call:
        if call.name != "node_exec" or call.args[-1][0] != "cat":
            return call
        pid = str(call.args[-1][-1]).split("/")[2]
        return replace(call, args=[*call.args[:-1], ["sh", "-c", _STAT, "state", pid]])

    return [asked(call) for call in calls]


DIFFERENT: Mapping[str, Different] = {
    "power-off": Different(
        "abb28b0", "the engine gives any address that is free, and the entry says which the node had", _at_its_address
    ),
    "set-kubelet-identity": Different(
        "0feec0c", "since when a kubelet runs is told by the node's clock, which dates its lease", _by_its_own_clock
    ),
    "place-static-pod": Different("446aea8", "a node that does not answer is no word that the file is gone", _in_words),
    "stall-runtime": Different(
        "09ae496", "a node that does not answer is no word that the process is gone", _by_the_node
    ),
    "replace-control-plane": Different("a5eadf7", "the same question, by one of the paths that lead to it", _plainly),
}


def entry_of(kind: str, state: Path) -> Pending:
    """The journal of that kind, put where a run leaves its own; what is pending in it."""
    text = (HERE / "journals" / f"{kind}.jsonl").read_text().replace(HOME, str(state))
    (journals_dir() / "20260101-000000-dead.jsonl").write_text(text)
    (found,) = pending(journals_dir())
    return found


def calls_of(kind: str, state: Path) -> list[Call]:
    """What the earlier version asked and did to undo that entry, and to see that it is undone."""
    text = (HERE / "undo" / f"{kind}.json").read_text().replace(HOME, str(state))
    text = RENEWED.sub(rf'\1"{datetime.now(UTC).isoformat()}"', text)  # a heartbeat is compared with now
    recorded = json.loads(text)
    return [Call.of_json(raw) for raw in (*recorded["undo"], *recorded["undone"])]


@contextmanager
def on_this_machine(found: Pending, state: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What an undo takes away beside the cluster is there before, and gone afterwards."""
    there: list[Path] = []
    if found.kind == "fill-file-system":
        there.append(Path(str(found.saved["folder"])) / BALLAST)
        monkeypatch.setattr(Path, "is_mount", lambda path: path == there[0].parent)
    if found.kind == "install-rbd-lock":
        there.append(state / "kube-ordeal" / "clusters" / found.cluster.name / "shared" / FOLDER / "volume")
    for each in there:
        each.parent.mkdir(parents=True)
        each.write_text("")
    yield
    assert not [each for each in there if each.exists()]


def test_there_is_an_entry_of_each_kind_that_there_was() -> None:
    assert len(KINDS) == 33
    assert sorted(path.stem for path in (HERE / "undo").glob("*.json")) == KINDS
    assert {*DIFFERENT} <= {*KINDS}


@pytest.mark.parametrize("kind", KINDS)
def test_an_entry_is_pending(kind: str, state: Path) -> None:
    found = entry_of(kind, state)
    raw = json.loads((HERE / "journals" / f"{kind}.jsonl").read_text().replace(HOME, str(state)))
    assert (found.entry, found.kind, found.last_error) == (1, kind, "")
    assert (found.wall, found.saved) == (raw["wall"], raw["saved"])
    assert found.cluster.identity is None, "it was not written down then"
    assert (found.cluster.kind, found.cluster.name) == (raw["cluster"]["kind"], raw["cluster"]["name"])
    assert kind in registered()


@pytest.mark.parametrize("kind", KINDS)
def test_an_entry_is_undone_by_the_same_calls(kind: str, state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found, recorded = entry_of(kind, state), calls_of(kind, state)
    expected = DIFFERENT[kind].calls(found, recorded) if kind in DIFFERENT else recorded
    assert (expected != recorded) == (kind in DIFFERENT), "what is named as different is different"
    cluster = Replayed(found.cluster, expected)
    with on_this_machine(found, state, monkeypatch):
        assert undo_pending(found, cluster)  # type: ignore[arg-type]
    assert not cluster.left, "calls that were not made"
    assert not pending(journals_dir())
