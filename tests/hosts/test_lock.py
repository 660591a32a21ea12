"""One at a time across processes, and free again when the holder is killed."""

import subprocess
import sys
from pathlib import Path

from chaos.hosts.lock import locked

HOLDS = """
import pathlib, sys
from chaos.hosts.lock import locked
with locked(pathlib.Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_killed_holder_frees_the_lock_and_the_waiting_one_is_told(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "lock"
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDS, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    told: list[str] = []

    def waiting() -> None:
        told.append("waiting")
        holder.kill()

    with locked(path, waiting):
        assert told == ["waiting"]
    holder.communicate()
    with locked(path, waiting):
        assert told == ["waiting"]
