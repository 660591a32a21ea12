"""Killing a run in the middle of a fault, and undoing what it left as a user would."""

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from chaos.basics.waiting import eventually
from chaos.clusters.base import Cluster
from chaos.hosts.places import journals_dir
from chaos.record.journal import pending
from tests.moments import Moments

ROOT = Path(__file__).parents[2]
UNDO = (sys.executable, "-m", "chaos.cli.app", "undo")
# A run is killed in its harm or, one time of so many, while it takes it back; so is the undo of what is left.
ONE_OF_IN_ITS_END, ONE_OF_ALSO_THE_UNDO = 3, 4
ENDED_WITHIN_S, UNDO_BEGAN_WITHIN_S = 3.0, 4.0


def kill_and_undo(
    cluster: Cluster, kind: str, arguments: dict[str, Any], moments: Moments, *, within_s: float = 3.0
) -> None:
    """Start a run that injects a fault, SIGKILL it at a moment up to `within_s` after its plan is on disk, or once it
    has begun to take it back, and undo what it left, which is that fault and nothing else.
    """
    run = f"crash-{uuid.uuid4().hex[:8]}"
    in_its_end = moments.number(0, ONE_OF_IN_ITS_END) == 0
    after_s = moments.second(ENDED_WITHIN_S if in_its_end else within_s)
    journal = journals_dir() / f"{run}.jsonl"
    with harming(cluster, kind, arguments, run) as child:
        assert child.stdin is not None
        if in_its_end:
            assert child.stdout is not None
            assert child.stdout.readline() == "landed\n"
            child.stdin.close()
        else:
            eventually(lambda: planned(journal, child), within_s=60, what="the plan to be on disk", every_s=0.005)
        time.sleep(after_s)  # the moment of the kill is what is tried here, it synchronises nothing
        over = in_its_end and child.poll() == 0
        when = "it began to take it back" if in_its_end else "its plan"
        print(f"{kind}, killed {after_s:.3f} s after {when}{', when it was over' if over else ''}")
    left = [p.kind for p in pending(journals_dir()) if p.path == journal]
    # What it took back by itself is pending no more, also where it had no time to end.
    assert left == [kind] or (in_its_end and left == [])
    if moments.number(0, ONE_OF_ALSO_THE_UNDO) == 0:
        kill_an_undo(moments)
    undo_as_a_user()
    assert [p.kind for p in pending(journals_dir()) if p.path == journal] == []


@contextmanager
def harming(cluster: Cluster, kind: str, arguments: dict[str, Any], run: str) -> Iterator["subprocess.Popen[str]"]:
    """A run that injects a fault, and takes it back when its input is closed. It is killed at the block's end."""
    argv = [sys.executable, "-m", "tests.integration.harm", json.dumps(asdict(cluster.ref)), kind]
    with subprocess.Popen(
        [*argv, json.dumps(arguments), run],
        cwd=ROOT,
        start_new_session=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        try:
            yield child
        finally:
            with suppress(ProcessLookupError):  # it ended by itself
                os.killpg(child.pid, signal.SIGKILL)


def kill_an_undo(moments: Moments) -> None:
    """Begin `kube-ordeal undo`, and SIGKILL it with all that it started."""
    after_s = moments.second(UNDO_BEGAN_WITHIN_S)
    with subprocess.Popen(UNDO, cwd=ROOT, start_new_session=True, stdout=subprocess.DEVNULL) as child:
        with suppress(subprocess.TimeoutExpired):
            child.wait(after_s)
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
    print(f"the undo was killed, too, {after_s:.3f} s after its start")


def undo_as_a_user() -> None:
    """Run `kube-ordeal undo`. Fails where it does."""
    done = subprocess.run(UNDO, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def planned(journal: Path, child: "subprocess.Popen[str]") -> bool:
    """Whether the plan of such a run is on disk. Fails where it has ended."""
    if child.poll() is not None:
        raise AssertionError("the run ended by itself; what it said is in the captured output")
    return journal.exists() and journal.stat().st_size > 0
