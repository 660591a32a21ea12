"""What daemons' logs are asked for, by a shell and with dates as on a node; its journal only says what it was asked."""

import os
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from chaos.hosts.command import Output
from chaos.record.history import History
from chaos.subjects.handles.records import SaidTooMany
from chaos.subjects.handles.sampler import what_the_logs_say

JOURNAL = '#!/bin/sh\n[ "$8" = containerd ] && echo "too many open files $6"\ntrue\n'


class Asked:
    """A node whose programs are this machine's, but for its journal."""

    def __init__(self, folder: Path) -> None:
        (folder / "journalctl").write_text(JOURNAL)
        (folder / "journalctl").chmod(0o755)
        self._env = {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"}

    def node_exec(
        self, node: str, argv: Sequence[str], *, timeout_s: float = 30.0, check: bool = True, stdin: str | None = None
    ) -> Output:
        done = subprocess.run([*argv], env=self._env, capture_output=True, text=True, timeout=60, check=True)
        return Output(0, done.stdout, "")


@pytest.mark.parametrize("set_by_s", [0.0, 3600.0, -7200.0])
def test_it_is_the_nodes_clock_that_says_since_when(tmp_path: Path, set_by_s: float) -> None:
    """This machine's clock was set by so much since the history began; the node's was not."""
    history = History(began=time.monotonic() - 100, began_wall=time.time() - 100 - set_by_s)
    what_the_logs_say(Asked(tmp_path), history, "w1", since=40.0)
    (said,) = history.of(SaidTooMany)
    since = float(said.first.removeprefix("too many open files @"))
    assert time.time() - since == pytest.approx(60, abs=30)
