"""Killing a run in the middle of a fault, and undoing what it left as a user would."""

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from chaos.basics.waiting import eventually
from chaos.clusters.base import Cluster
from chaos.hosts.places import journals_dir
from chaos.record.journal import pending
from tests.moments import Moments

ROOT = Path(__file__).parents[2]
_LATER = pytest.mark.nightly("the second and the third moment at which a run is killed")
# A run with a fault is killed at three random moments. `make test` tries one of them, another each time (--kill-seed).
at_random_moments = pytest.mark.parametrize("moment", [1, pytest.param(2, marks=_LATER), pytest.param(3, marks=_LATER)])


def kill_and_undo(
    cluster: Cluster, kind: str, arguments: dict[str, Any], moments: Moments, *, within_s: float = 3.0
) -> None:
    """Start a run that injects a fault, SIGKILL it at a moment up to `within_s` after its plan is on disk, and undo
    what it left, which is that fault and nothing else.
    """
    run = f"crash-{uuid.uuid4().hex[:8]}"
    after_s = moments.second(within_s)
    argv = [sys.executable, "-m", "tests.integration.harm", json.dumps(asdict(cluster.ref)), kind]
    child = subprocess.Popen(
        [*argv, json.dumps(arguments), run],
        cwd=ROOT,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    journal = journals_dir() / f"{run}.jsonl"
    try:

        def planned() -> bool:
            if child.poll() is not None:
                raise AssertionError("the run ended by itself; what it said is in the captured output")
            return journal.exists() and journal.stat().st_size > 0

        eventually(planned, within_s=60, what="the plan to be on disk", every_s=0.005)
        time.sleep(after_s)  # the moment of the kill is what is tried here, it synchronises nothing
    finally:
        with suppress(ProcessLookupError):  # it ended by itself
            os.killpg(child.pid, signal.SIGKILL)
        said = child.communicate()[1]
        print(f"{kind}, killed {after_s:.3f} s after its plan at the latest, said: {said}")
    assert [p.kind for p in pending(journals_dir()) if p.path == journal] == [kind]
    undo_as_a_user()


def undo_as_a_user() -> None:
    """Run `kube-ordeal undo`. Fails where it does."""
    argv = [sys.executable, "-m", "chaos.cli.app", "undo"]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=180, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
