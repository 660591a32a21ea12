"""How harm is done and taken back: on disk before it is done, undone whatever happens, told where it fails.

Each step of a fault goes wrong in each way here; what is in the journal, in the history, and leaves, is the promise.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from chaos.basics.signals import as_interrupts
from chaos.clusters.abilities import NodePower
from chaos.clusters.base import EXISTING, KIND, ClusterRef
from chaos.clusters.identity import Identity, NodeIdentity, OtherClusterError
from chaos.errors import OrdealError
from chaos.harm import base
from chaos.harm.base import FaultError, NotUndoneError, undo_pending
from chaos.record.journal import Journal, Pending, pending
from chaos.record.journal import _pending_in as pending_in
from chaos.run.deadline import Deadline, TimedOutError, beneath
from tests.harm.made_up import ENDED, KILLED, LONG_S, PLAN, REF, SAVED, SHORT_S, Harm, Run, Target, once, raises, send

ALL = ["planned", "applied", "landed", "undoing", "undone"]


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with Journal(tmp_path / "run.jsonl") as made:
        yield made


# --- all goes well


def test_the_way_back_is_on_disk_before_the_harm_and_until_its_undo_is_confirmed(journal: Journal) -> None:
    on_disk: list[tuple[str, int]] = []

    def look(name: str, answer: object) -> Callable[[], object]:
        def step() -> object:
            on_disk.append((name, len(pending_in(journal.path))))
            return answer

        return step

    run = Run(Harm({n: look(n, PLAN if n == "plan" else True) for n in ("plan", "apply", "block", "undone")}), journal)
    run()
    assert on_disk == [("plan", 0), ("apply", 1), ("block", 1), ("undone", 1)]
    assert run.harm.taken == ["plan", "apply", "landed", "block", "undo", "undone"]
    assert run.steps == ALL
    assert run.left == []


def test_landing_is_asked_for_until_it_is_there(journal: Journal) -> None:
    run = Run(Harm({"landed": once(bool, answer=True)}), journal, landing_within_s=LONG_S)
    run()
    assert run.harm.taken == ["plan", "apply", "landed", "landed", "block", "undo", "undone"]
    assert run.steps == ALL


def test_what_cannot_be_asked_at_once_whether_it_landed_is_asked_again(journal: Journal) -> None:
    flaky = once(raises(OSError("docker does not answer")), answer=True)
    run = Run(Harm({"landed": flaky}), journal, landing_within_s=LONG_S)
    run()
    assert run.steps == ALL


# --- nothing is done, so nothing is undone


def test_a_cluster_that_lacks_an_ability_is_not_touched(journal: Journal) -> None:
    run = Run(Harm(needs=(NodePower,)), journal)
    with pytest.raises(
        FaultError, match=r"^made-up needs a cluster with NodePower; clusters of the kind kind do not have it$"
    ):
        run()
    assert (run.harm.taken, run.steps, run.left) == ([], [], [])


MEANT = Identity("u1", server="https://a:6443", nodes=(NodeIdentity("w1", "m1"), NodeIdentity("w2", "m2")))


@pytest.mark.parametrize("kind", [KIND, EXISTING])
def test_another_cluster_than_the_one_that_is_meant_is_not_even_planned_for(journal: Journal, kind: str) -> None:
    run = Run(Harm(), journal, Target(replace(REF, kind=kind, identity=MEANT), replace(MEANT, uid="u2")))
    with pytest.raises(OtherClusterError, match="the UID of the namespace kube-system was u1, and is u2"):
        run()
    assert (run.harm.taken, run.steps, run.left) == ([], [], [])


def test_a_node_that_is_another_machine_by_now_is_not_harmed(journal: Journal) -> None:
    now = replace(MEANT, nodes=(NodeIdentity("w1", "m9"), MEANT.nodes[1]))
    run = Run(Harm(), journal, Target(replace(REF, kind=EXISTING, identity=MEANT), now))
    with pytest.raises(OtherClusterError, match="the node w1 was the machine m1, and is m9"):
        run()
    assert (run.harm.taken, run.steps, run.left) == (["plan"], [], [])


def test_a_node_that_is_not_harmed_may_be_another_machine(journal: Journal) -> None:
    now = replace(MEANT, nodes=(MEANT.nodes[0], NodeIdentity("w2", "m9")))
    run = Run(Harm(), journal, Target(replace(REF, kind=EXISTING, identity=MEANT), now))
    run()
    assert run.steps == ALL


def test_a_cluster_that_does_not_answer_is_harmed_only_where_it_is_made_here(journal: Journal) -> None:
    silent = Identity(server="https://a:6443")
    run = Run(Harm(), journal, Target(replace(REF, kind=EXISTING, identity=MEANT), silent))
    with pytest.raises(OtherClusterError, match="nobody can say whether the cluster ordeal is the one that is meant"):
        run()
    assert (run.harm.taken, run.steps, run.left) == ([], [], [])
    ours = Run(Harm(), journal, Target(replace(REF, identity=MEANT), silent))
    ours()
    assert ours.steps == ALL


def test_the_journal_keeps_what_only_this_cluster_and_the_harmed_node_can_be(journal: Journal) -> None:
    kept: list[ClusterRef] = []
    look = {"block": lambda: kept.append(pending_in(journal.path)[0].cluster)}
    Run(Harm(look), journal, Target(replace(REF, identity=MEANT), MEANT))()
    assert kept == [replace(REF, identity=replace(MEANT, nodes=(NodeIdentity("w1", "m1"),)))]


def test_a_plan_that_fails_leaves_as_it_is_and_nothing_is_undone(journal: Journal) -> None:
    run = Run(Harm({"plan": raises(OrdealError("there is no node w1"))}), journal)
    with pytest.raises(OrdealError, match=r"^there is no node w1$"):
        run()
    assert (run.harm.taken, run.steps, run.left) == (["plan"], [], [])


def test_without_a_journal_on_disk_no_harm_is_done(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", raises_of_any(OSError(28, "No space left on device")))
    run = Run(Harm(), journal)
    with pytest.raises(OrdealError, match=r"run\.jsonl can't be written \(No space left on device\): free the disk$"):
        run()
    assert (run.harm.taken, run.steps, run.left) == (["plan"], [], [])


def raises_of_any(error: BaseException) -> Callable[[object], None]:
    return lambda _: raises(error)()


# --- it does not land: whatever the reason is, it is told, looked at, and then undone


NOT_LANDED = ["planned", "not-landed", "undoing", "undone"]


def test_an_apply_that_fails_is_told_looked_at_and_undone(journal: Journal) -> None:
    broke = OSError("it broke half-way")
    run = Run(Harm({"apply": raises(broke)}), journal)
    with pytest.raises(FaultError, match=r"^the fault made-up did not land: it broke half-way$") as told:
        run()
    assert told.value.__cause__ is broke
    assert run.harm.taken == ["plan", "apply", "evidence", "undo", "undone"]
    assert run.steps == NOT_LANDED
    assert run.detail("not-landed") == "it broke half-way"
    assert run.left == []


def test_what_never_lands_is_told_looked_at_and_undone(journal: Journal) -> None:
    run = Run(Harm({"landed": bool}), journal)
    why = "waited 0.05 s for made-up to land, in vain; the last answer was False"
    with pytest.raises(FaultError, match=f"^the fault made-up did not land: {why}$"):
        run()
    assert run.harm.taken[:2] == ["plan", "apply"]
    assert run.harm.taken[-3:] == ["evidence", "undo", "undone"]
    assert run.steps == ["planned", "applied", *NOT_LANDED[1:]]
    assert run.detail("not-landed") == why
    assert run.left == []


def test_where_nobody_can_say_whether_it_landed_the_last_reason_is_told(journal: Journal) -> None:
    run = Run(Harm({"landed": raises(OSError("docker does not answer"))}), journal)
    with pytest.raises(FaultError, match=r"did not land: .*the last try raised OSError\('docker does not answer'\)$"):
        run()
    assert run.steps == ["planned", "applied", *NOT_LANDED[1:]]
    assert run.left == []


def test_where_it_cannot_be_looked_at_either_both_reasons_are_told_and_it_is_undone(journal: Journal) -> None:
    broke = OSError("it broke")
    run = Run(Harm({"apply": raises(broke), "evidence": raises(RuntimeError("no room for evidence"))}), journal)
    sentence = "^the fault made-up did not land: it broke; nor could be kept what tells why: no room for evidence$"
    with pytest.raises(FaultError, match=sentence) as told:
        run()
    assert told.value.__cause__ is broke
    assert run.harm.taken == ["plan", "apply", "evidence", "undo", "undone"]
    assert run.steps == NOT_LANDED
    assert run.left == []


def test_what_did_not_land_and_cannot_be_undone_stays(journal: Journal) -> None:
    run = Run(Harm({"apply": raises(OSError("it broke")), "undone": bool}), journal)
    with pytest.raises(FaultError, match=r"^the fault made-up on cluster ordeal could not be undone") as told:
        run()
    assert "did not land: it broke" in "".join(str(each) for each in beneath(told.value)), "nor is that lost"
    assert run.steps == ["planned", "not-landed", "undoing", "not-undone"]
    assert len(run.left) == 1


# --- the story breaks while it lasts


def test_where_the_story_breaks_it_is_undone_and_the_storys_own_error_leaves(journal: Journal) -> None:
    broke = RuntimeError("in the middle")
    run = Run(Harm({"block": raises(broke)}), journal)
    with pytest.raises(RuntimeError, match=r"^in the middle$") as told:
        run()
    assert told.value is broke
    assert run.harm.taken == ["plan", "apply", "landed", "block", "undo", "undone"], "it landed: no look at why not"
    assert run.steps == ALL
    assert run.left == []


def test_where_the_story_breaks_and_it_cannot_be_undone_that_is_what_leaves(journal: Journal) -> None:
    broke = RuntimeError("in the middle")
    run = Run(Harm({"block": raises(broke), "undone": bool}), journal)
    with pytest.raises(FaultError, match="could not be undone") as told:
        run()
    assert broke in beneath(told.value)
    assert len(run.left) == 1


# --- it can't be undone


def test_an_undo_that_fails_once_is_done_again(journal: Journal) -> None:
    run = Run(Harm({"undo": once(raises(OSError("docker does not answer")))}), journal)
    run.undone_within_s = LONG_S
    run()
    assert run.harm.taken[-4:] == ["block", "undo", "undo", "undone"]
    assert run.steps == ALL
    assert run.left == []


def test_an_undo_that_is_not_confirmed_at_once_is_done_again(journal: Journal) -> None:
    run = Run(Harm({"undone": once(bool, answer=True)}), journal)
    run.undone_within_s = LONG_S
    run()
    assert run.harm.taken[-5:] == ["block", "undo", "undone", "undo", "undone"]
    assert run.steps == ALL
    assert run.left == []


STAYS = [
    ({"undo": raises(OSError("docker is gone"))}, "the last try raised OSError('docker is gone')"),
    ({"undone": bool}, "the last answer was False"),
    ({"undone": raises(OSError("who knows"))}, "the last try raised OSError('who knows')"),
]


@pytest.mark.parametrize(("does", "because"), STAYS, ids=["undo raises", "undone is false", "undone raises"])
def test_what_cannot_be_undone_stays_in_the_journal_with_the_reason(
    journal: Journal, does: Mapping[str, Callable[[], Any]], because: str
) -> None:
    run = Run(Harm(does), journal)
    why = f"waited 0.05 s for made-up to be undone, in vain; {because}"
    with pytest.raises(NotUndoneError) as told:
        run()
    assert str(told.value) == (
        f"the fault made-up on cluster ordeal could not be undone ({why}); "
        "it stays in the journal: mend the cause and run `kube-ordeal undo`"
    )
    assert "undo" in run.harm.taken
    assert run.steps == ["planned", "applied", "landed", "undoing", "not-undone"]
    assert run.detail("not-undone") == why
    (left,) = run.left
    assert (left.kind, left.saved, left.cluster, left.last_error) == ("made-up", SAVED, REF, why)


def test_where_the_failed_undo_cannot_be_noted_either_the_plan_stays_and_both_are_told(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = raises_of_any(OSError(28, "No space left on device"))
    run = Run(Harm({"undo": lambda: monkeypatch.setattr(os, "fsync", full), "undone": bool}), journal)
    with pytest.raises(
        FaultError, match=r"could not be undone .*\(the journal .* can't be written .*\): mend the cause"
    ):
        run()
    assert run.steps == ["planned", "applied", "landed", "undoing", "not-undone"]
    (left,) = run.left
    assert (left.saved, left.last_error) == (SAVED, "")


def test_an_undo_that_cannot_be_noted_is_told_and_will_be_done_again(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = raises_of_any(OSError(28, "No space left on device"))
    run = Run(Harm({"undo": lambda: monkeypatch.setattr(os, "fsync", full)}), journal)
    with pytest.raises(OrdealError, match="can't be written"):
        run()
    assert run.steps == ALL
    assert [each.saved for each in run.left] == [SAVED]


# --- a signal in each step: what was begun is taken back first, then the signal does what it always does


AT = {  # the step in which it comes: what was done of the fault, and what the history has of it
    "plan": (["plan"], []),
    "fsync": (["plan", "undo", "undone"], ["planned", "undoing", "undone"]),
    "apply": (["plan", "apply", "undo", "undone"], ["planned", "undoing", "undone"]),
    "landed": (["plan", "apply", "landed", "undo", "undone"], ["planned", "applied", "undoing", "undone"]),
    "evidence": (["plan", "apply", "evidence", "undo", "undone"], NOT_LANDED),
    "block": (["plan", "apply", "landed", "block", "undo", "undone"], ALL),
    "undo": (["plan", "apply", "landed", "block", "undo", "undone"], ALL),
    "undone": (["plan", "apply", "landed", "block", "undo", "undone"], ALL),
}


def signalled(at: str, number: int, monkeypatch: pytest.MonkeyPatch) -> dict[str, Callable[[], Any]]:
    """What a fault does in whose step, or while whose plan is written, a signal comes."""
    if at == "fsync":
        to_disk, first = os.fsync, once(send(number))
        monkeypatch.setattr(os, "fsync", lambda handle: (to_disk(handle), first()))
    return {at: send(number)} | ({"apply": raises(OSError("it broke"))} if at == "evidence" else {})


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda n: n.name)
@pytest.mark.parametrize("at", AT)
def test_a_signal_leaves_after_all_is_undone(
    journal: Journal, monkeypatch: pytest.MonkeyPatch, at: str, number: signal.Signals
) -> None:
    run = Run(Harm(signalled(at, number, monkeypatch)), journal)
    with pytest.raises(KeyboardInterrupt), as_interrupts():
        run()
    assert (run.harm.taken, run.steps) == AT[at]
    assert run.left == []


@pytest.mark.parametrize("at", AT)
def test_the_tests_time_limit_leaves_after_all_is_undone(
    journal: Journal, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    run = Run(Harm(signalled(at, signal.SIGALRM, monkeypatch)), journal)
    deadline = Deadline(600)
    deadline.start()
    try:
        with pytest.raises(TimedOutError), deadline.enforced():
            run()
    finally:
        deadline.cancel()
    assert (run.harm.taken, run.steps) == AT[at]
    assert run.left == []


@pytest.mark.parametrize("steps", [("block", "undo"), ("block", "undone"), ("undo", "undo"), ("undo", "undone")])
def test_a_second_ctrl_c_does_not_cut_the_undo_short(journal: Journal, steps: tuple[str, str]) -> None:
    """An impatient user."""
    times = 2 if steps[0] == steps[1] else 1
    run = Run(Harm({step: send(*[signal.SIGINT] * times) for step in set(steps)}), journal)
    with pytest.raises(KeyboardInterrupt):
        run()
    assert (run.harm.taken, run.steps) == AT["undo"]
    assert run.left == []


@pytest.mark.parametrize("at", ["apply", "block", "undo", "undone"])
def test_ctrl_c_stays_ctrl_c_where_the_undo_fails(journal: Journal, at: str) -> None:
    """Else the run would go on with its next replay."""
    does: dict[str, Callable[[], Any]] = {at: send(signal.SIGINT)}
    does["undone"] = (lambda: bool(send(signal.SIGINT)()) and False) if at == "undone" else bool
    run = Run(Harm(does), journal)
    with pytest.raises(KeyboardInterrupt) as told:
        run()
    assert any(isinstance(each, NotUndoneError) for each in beneath(told.value)), "what stays is told beneath it"
    assert at not in {"apply", "block"} or isinstance(told.value.__cause__, NotUndoneError)
    assert run.steps[-2:] == ["undoing", "not-undone"]
    assert [each.last_error != "" for each in run.left] == [True]


# --- a kill in each step, which nobody holds back; and signals from outside, where the process has no handler of ours


ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The journals of runs that were ended."""
    folder = tmp_path_factory.mktemp("ended")
    argv = [sys.executable, "-u", "-m", "tests.harm.made_up", str(folder)]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout.split() == [str(-n) for n in [signal.SIGKILL] * len(KILLED) + list(ENDED)], done.stderr
    return folder


@pytest.mark.parametrize("at", KILLED)
def test_what_a_kill_leaves_is_what_the_next_start_undoes(ended: Path, tmp_path: Path, known: Harm, at: str) -> None:
    path = tmp_path / f"{at}.jsonl"
    path.write_bytes((ended / path.name).read_bytes())
    found = pending(tmp_path)
    assert [(each.kind, each.last_error) for each in found] == KILLED[at]
    for one in found:
        assert (one.saved, one.cluster) == (SAVED, REF)
        assert undo(one)
    assert known.taken == ["undo", "undone"] * len(found)
    assert not path.exists()


@pytest.mark.parametrize("number", ENDED, ids=lambda n: n.name)
def test_a_process_that_is_ended_in_the_undo_has_done_it_before_it_ends_by_the_signal(
    ended: Path, number: signal.Signals
) -> None:
    path = ended / f"{number.name}.jsonl"
    assert pending_in(path) == []
    # SIGINT leaves as KeyboardInterrupt, so the journal is closed; SIGTERM without a handler ends it where it stands.
    assert path.exists() == (number is signal.SIGTERM)


# --- undone by a later start


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> Harm:
    """The fault as this version knows it: an undo is found by its name."""
    made = Harm()
    monkeypatch.setitem(base._REGISTRY, Harm.kind, made)
    return made


@pytest.fixture
def found(tmp_path: Path) -> Pending:
    """What a killed run has left."""
    with Journal(tmp_path / "dead.jsonl") as journal:
        journal.planned(Harm.kind, REF, SAVED)
    (left,) = pending(tmp_path)
    return left


def undo(found: Pending) -> bool:
    return undo_pending(found, Target(), within_s=SHORT_S)  # type: ignore[arg-type]


def test_what_a_dead_run_left_is_undone_and_its_journal_goes(known: Harm, found: Pending) -> None:
    assert undo(found)
    assert known.taken == ["undo", "undone"]
    assert not found.path.exists()


@pytest.mark.parametrize(("does", "because"), STAYS, ids=["undo raises", "undone is false", "undone raises"])
def test_what_still_cannot_be_undone_stays_with_the_reason(
    known: Harm, found: Pending, does: Mapping[str, Callable[[], Any]], because: str
) -> None:
    known.does = does
    with pytest.raises(FaultError, match=r"^the fault made-up on cluster ordeal could not be undone"):
        undo(found)
    (left,) = pending(found.path.parent)
    assert left == replace(found, last_error=f"waited 0.05 s for made-up to be undone, in vain; {because}")


def test_what_somebody_else_handles_is_left_to_them(known: Harm, found: Pending) -> None:
    with Journal(found.path):
        assert not undo(found)
    assert known.taken == []
    assert pending(found.path.parent) == (found,)


def test_a_fault_that_this_version_does_not_know_stays(found: Pending) -> None:
    with pytest.raises(FaultError, match=r"names a fault 'made-up' that this version does not know$"):
        undo(found)
    assert pending(found.path.parent) == (found,)


@pytest.mark.parametrize("at", ["undo", "undone"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda n: n.name)
def test_a_signal_leaves_after_the_late_undo_is_done(
    known: Harm, found: Pending, at: str, number: signal.Signals
) -> None:
    known.does = {at: send(number)}
    with pytest.raises(KeyboardInterrupt), as_interrupts():
        undo(found)
    assert known.taken == ["undo", "undone"]
    assert not found.path.exists()


def test_two_faults_of_one_name_are_a_mistake_at_import(known: Harm) -> None:
    with pytest.raises(ValueError, match="two faults are called 'made-up'"):
        base.fault(Harm)  # type: ignore[type-var]
