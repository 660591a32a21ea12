"""A command of the user's own, as a real process: how it ends, what ends it, and what a killed run leaves of it."""

import os
import shlex
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from chaos.basics.waiting import eventually
from chaos.clusters.base import EXISTING, ClusterRef
from chaos.errors import OrdealError
from chaos.harm.base import FaultError, inject, undo_pending
from chaos.hosts.places import journals_dir
from chaos.record.evidence import Piece
from chaos.record.history import History
from chaos.record.journal import Journal, pending
from chaos.record.records import FaultStep
from chaos.subjects.upgrade import command
from chaos.subjects.upgrade.command import marked
from chaos.subjects.upgrade.faults import UpgradeCommand, UpgradeCommandPlan
from chaos.subjects.upgrade.own import kept, require_room, run_to_its_end
from chaos.subjects.upgrade.records import CommandEnded

CLUSTER: Any = SimpleNamespace(ref=ClusterRef(EXISTING, "theirs", "/k/config", "their-context"))


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr(command, "ENDS_WITHIN_S", 0.3)
    yield
    assert [each.name for each in threading.enumerate() if each.name == "upgrade-command"] == []


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with Journal(tmp_path / "run.jsonl") as made:
        yield made


def ran(journal: Journal, output: Path, *argv: str, within_s: float = 60.0) -> tuple[CommandEnded, History]:
    history, upgrade = History(), UpgradeCommand(shlex.join(argv), str(output))
    with inject(upgrade, CLUSTER, journal, history) as saved:
        ended = run_to_its_end(upgrade, saved, history, within_s)
    assert marked(saved.mark) == ()
    return ended, history


def test_it_runs_by_its_words_knows_the_cluster_and_what_it_says_is_kept(journal: Journal, tmp_path: Path) -> None:
    output, evidence = tmp_path / "upgrade-command.log", list[Piece]()
    said = "$0 $HOME; token=abcdefgh12345678 $KUBE_ORDEAL_KUBECONFIG $KUBE_ORDEAL_CONTEXT"
    with kept(output, evidence):
        ended, history = ran(journal, output, "sh", "-c", f'echo "{said}"', "a b")
    assert (ended.succeeded, ended.told()) == (True, "succeeded")
    assert [step.step for step in history.of(FaultStep)] == ["planned", "applied", "landed", "undoing", "undone"]
    words = output.read_text()
    assert words.startswith(f"a b {os.environ['HOME']}; ")
    assert words.endswith("/k/config their-context\n")
    assert "abcdefgh12345678" not in words
    assert evidence == [Piece(output.name, output)]
    assert list(journal.pending()) == []


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("echo one; echo two; echo; echo three >&2; echo four; exit 3", "exit 3: two / three / four"),
        ("exit 1", "exit 1: it said nothing"),
        ("kill -KILL $$", "ended by SIGKILL: it said nothing"),
        (f"echo {'x' * 600}; exit 1", f"exit 1: {'x' * 500}"),
    ],
)
def test_one_that_fails_says_its_last_words(journal: Journal, tmp_path: Path, script: str, words: str) -> None:
    ended, history = ran(journal, tmp_path / "log", "sh", "-c", script)
    assert not ended.succeeded
    assert [each.words for each in history.of(CommandEnded)] == [words]


def test_one_that_takes_too_long_is_ended_with_all_that_it_started(journal: Journal, tmp_path: Path) -> None:
    deaf = 'trap "" TERM; sh -c "sleep 600" & setsid sleep 600 & echo started; wait; sleep 600'
    ended, _ = ran(journal, tmp_path / "log", "sh", "-c", deaf, within_s=0.3)
    assert ended.words.startswith("not over after 0.3 s, and ended: ")


def test_an_interrupt_ends_it_and_nothing_is_left(journal: Journal, tmp_path: Path) -> None:
    upgrade, history, marks = UpgradeCommand("sleep 600", str(tmp_path / "log")), History(), list[str]()

    def interrupted() -> None:
        with inject(upgrade, CLUSTER, journal, history) as saved:
            marks.append(saved.mark)
            assert len(marked(saved.mark)) == 1
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert marked(*marks) == ()
    assert history.of(CommandEnded) == []
    eventually(lambda: upgrade.running.is_over, within_s=60, what="it to be reaped", every_s=0.01)
    assert list(journal.pending()) == []


@pytest.mark.parametrize("no_program", ["no-such-program-here", "/dev/null"])
def test_one_that_cant_be_started_did_not_land(journal: Journal, tmp_path: Path, no_program: str) -> None:
    with pytest.raises(FaultError, match=r"upgrade-command did not land: .*(No such file|Permission denied)"):
        ran(journal, tmp_path / "log", no_program)


def test_more_probes_than_can_be_judged_are_refused_before_anything_is_done() -> None:
    require_room(7200.0, nodes=17, services=2)
    says = "35 workers asking 2 Services for 2 h .* give a shorter --ordeal-upgrade-within, .* may be 35"
    with pytest.raises(OrdealError, match=says):
        require_room(7200.0, nodes=35, services=2)


def test_of_a_killed_run_it_goes_on_and_is_waited_for() -> None:
    plan = UpgradeCommandPlan("./upgrade.sh", "", "0123abcd", begun_by=1)
    script = f"import sys; sys.stdin.read(); print({plan.mark!r})"
    with subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", script], stdin=subprocess.PIPE, env={command.MARK: plan.mark}
    ) as goes_on:
        with pytest.raises(
            OrdealError, match=rf"`\./upgrade\.sh` still runs \(process {goes_on.pid}\): let it come to"
        ):
            UpgradeCommand.undo(CLUSTER, plan)
        assert not UpgradeCommand.undone(CLUSTER, plan)
        assert goes_on.poll() is None
        assert goes_on.stdin is not None
        goes_on.stdin.close()
        assert goes_on.wait(60) == 0
    UpgradeCommand.undo(CLUSTER, plan)
    assert UpgradeCommand.undone(CLUSTER, plan)


def test_what_a_killed_run_left_is_taken_out_of_the_journal_once_it_is_over() -> None:
    with Journal(journals_dir() / "20260101-000000-dead.jsonl") as left:
        left.planned(
            UpgradeCommand.kind, CLUSTER.ref, {"command": "x", "output": "", "mark": "0123abcd", "begun_by": 1}
        )
    (found,) = pending(journals_dir())
    assert undo_pending(found, CLUSTER)
    assert list(pending(journals_dir())) == []
