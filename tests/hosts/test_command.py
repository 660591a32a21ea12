"""A program that yields: lowest, in a session of its own, and gone with its children however its caller ends."""

import os
import signal
import subprocess
import sys
import textwrap
from contextlib import suppress
from pathlib import Path

import pytest

from chaos.hosts.command import CommandError, run_yielding
from chaos.waiting import eventually


def alive(pid: int) -> bool:
    with suppress(OSError):
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    return False


def test_it_returns_what_was_said(tmp_path: Path) -> None:
    said = run_yielding(["sh", "-c", "echo here; echo there >&2; pwd"], timeout_s=60, env={"A": "b"}, cwd=tmp_path)
    assert (said.code, said.out, said.err) == (0, f"here\n{tmp_path}\n", "there\n")


def test_a_failure_has_its_own_code_and_output(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"`sh -c .*` exited with 3; its last output:\n    no room"):
        run_yielding(["sh", "-c", "echo no room >&2; exit 3"], timeout_s=60, env=None, cwd=tmp_path)


def test_it_comes_after_others_and_is_in_a_session_of_its_own(tmp_path: Path) -> None:
    script = "import os; print(os.getpriority(os.PRIO_PROCESS, 0), os.getsid(0))"
    said = run_yielding([sys.executable, "-c", script], timeout_s=60, env=None, cwd=tmp_path)
    priority, session = said.out.split()
    assert priority == "19"
    assert int(session) != os.getsid(0)
    if Path("/proc/self/autogroup").exists():
        said = run_yielding(["cat", "/proc/self/autogroup"], timeout_s=60, env=None, cwd=tmp_path)
        assert said.out.split()[-1] == "10"


def test_what_takes_too_long_is_ended_with_its_children(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="did not end within 1 s"):
        run_yielding(["sh", "-c", f"sleep 600 & echo $! >{tmp_path}/pid; wait"], timeout_s=1, env=None, cwd=tmp_path)
    child = int((tmp_path / "pid").read_text())
    eventually(lambda: not alive(child), within_s=20, what="the child to end")


@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_nothing_is_left_when_the_caller_is_ended(tmp_path: Path, by: signal.Signals) -> None:
    script = textwrap.dedent(
        f"""
        from pathlib import Path
        from chaos.hosts.command import run_yielding
        here = Path({str(tmp_path)!r})
        run_yielding(["sh", "-c", f"sleep 600 & echo $! >{{here}}/pid.new; mv {{here}}/pid.new {{here}}/pid; wait"],
                     timeout_s=600, env=None, cwd=here)
        """
    )
    caller = subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.DEVNULL)
    try:
        eventually((tmp_path / "pid").exists, within_s=60, what="the child to start")
        child = int((tmp_path / "pid").read_text())
        assert alive(child)
        caller.send_signal(by)
        caller.wait(60)
        eventually(lambda: not alive(child), within_s=20, what="the child to end")
    finally:
        caller.kill()
        caller.wait()
