"""Killing a run in the middle of a fault, and undoing what it left as a user would."""

import json
import os
import random
import signal
import subprocess
import sys
import time
import uuid
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from chaos.clusters.base import Cluster
from chaos.hosts.places import journals_dir
from chaos.journal import pending
from chaos.waiting import eventually

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Killed:
    """A run that was killed: the signal, the seconds after its plan was on disk, and what it left pending."""

    run: str
    after_s: float
    left: int


def kill_in_the_middle(cluster: Cluster, kind: str, arguments: dict[str, Any], *, within_s: float) -> Killed:
    """Start a run that injects a fault; SIGKILL it at a random moment up to `within_s` after its plan is on disk."""
    run = f"crash-{uuid.uuid4().hex[:8]}"
    after_s = random.uniform(0, within_s)
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
                raise AssertionError(f"the run ended by itself: {child.stderr.read() if child.stderr else ''}")
            return journal.exists() and journal.stat().st_size > 0

        eventually(planned, within_s=60, what="the plan to be on disk", every_s=0.005)
        time.sleep(after_s)  # the moment of the kill is what is tried here, it synchronises nothing
    finally:
        os.killpg(child.pid, signal.SIGKILL)
        child.communicate()
    left = sum(1 for p in pending(journals_dir()) if p.path == journal)
    print(f"killed {kind} {after_s:.3f} s after its plan, {left} pending")
    return Killed(run, after_s, left)


def undo_as_a_user() -> str:
    """Run `kube-ordeal undo`; what it printed. Fails where it does."""
    argv = [sys.executable, "-m", "chaos.cli", "undo"]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=180, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
