"""Programs that are run, poured into one another, or yield and are gone with their children however the caller ends."""

import os
import signal
import subprocess
import sys
import textwrap
from contextlib import suppress
from pathlib import Path

import pytest

from chaos.basics.waiting import eventually
from chaos.hosts.command import CommandError, pour, run, run_apart, run_yielding


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


def test_a_program_that_is_none_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no program")
    (tmp_path / "text").chmod(0o755)
    with pytest.raises(CommandError, match="could not start: Exec format error"):
        run([str(tmp_path / "text")])
    with pytest.raises(CommandError, match="could not start: Permission denied"):
        run([str(tmp_path)])


def test_a_program_has_the_umask_that_it_is_given(tmp_path: Path) -> None:
    run(["touch", "open"], cwd=tmp_path, umask=0o022)
    run(["touch", "closed"], cwd=tmp_path, umask=0o077)
    assert [(tmp_path / name).stat().st_mode & 0o777 for name in ("open", "closed")] == [0o644, 0o600]


def test_what_runs_apart_is_in_a_session_of_its_own_where_it_is_told_to(tmp_path: Path) -> None:
    script = "import os, sys; print(os.getsid(0), os.getcwd(), os.environ['A'], sys.stdin.read())"
    said = run_apart([sys.executable, "-c", script], timeout_s=60, stdin="word", env={"A": "b"}, cwd=tmp_path)
    session, *others = said.out.split()
    assert others == [str(tmp_path), "b", "word"]
    assert int(session) != os.getsid(0)


def test_what_runs_apart_reads_nothing_of_ours_and_need_not_read_what_it_is_handed() -> None:
    assert run_apart(["cat"], timeout_s=60).out == ""
    assert run_apart(["true"], timeout_s=60, stdin="x" * 100_000).code == 0


def test_what_runs_apart_and_fails_says_why() -> None:
    with pytest.raises(CommandError, match=r"exited with 3; its last output:\n    no room"):
        run_apart(["sh", "-c", "echo much; echo no room >&2; exit 3"], timeout_s=60)
    assert run_apart(["sh", "-c", "exit 3"], timeout_s=60, check=False).code == 3
    with pytest.raises(CommandError, match="could not start: No such file or directory: /none"):
        run_apart(["/none"], timeout_s=60)


def test_what_runs_apart_for_too_long_is_ended_with_its_children(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"did not end within 0.3 s; its last output:\n    begun"):
        run_apart(["sh", "-c", f"echo begun; sleep 600 & echo $! >{tmp_path}/pid; wait"], timeout_s=0.3)
    child = int((tmp_path / "pid").read_text())
    eventually(lambda: not alive(child), within_s=20, what="the child to end")


def test_what_has_our_output_and_goes_on_by_itself_is_not_waited_for(tmp_path: Path) -> None:
    """As the master of ssh's ControlPersist."""
    said = run_apart(["sh", "-c", f"setsid sleep 600 & echo $! >{tmp_path}/pid; echo done"], timeout_s=60)
    assert said.out == "done\n"
    os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)


def test_an_interrupt_ends_what_runs_apart(tmp_path: Path) -> None:
    interrupt = f"echo $$ >{tmp_path}/pid; sleep 0.3; kill -INT {os.getpid()}; exec sleep 600"
    with pytest.raises(KeyboardInterrupt):
        run_apart(["sh", "-c", interrupt], timeout_s=60)
    assert not alive(int((tmp_path / "pid").read_text()))


def test_what_one_writes_all_others_read(tmp_path: Path) -> None:
    sinks = [["sh", "-c", f"cat >{tmp_path}/{name}"] for name in "ab"]
    pour(["sh", "-c", "seq 200000"], sinks, timeout_s=60)
    written = "".join(f"{number}\n" for number in range(1, 200001))
    assert [(tmp_path / name).read_text() for name in "ab"] == [written, written]


@pytest.mark.parametrize(
    ("source", "sink", "says"),
    [
        ("echo half; echo no image >&2; exit 4", "cat >/dev/null; exit 5", r"`sh -c .*exited with 4.*\n.*no image"),
        ("yes", "echo no room >&2; exit 3", r"exited with 3; its last output:\n    no room"),
        ("yes", "exit 0", r"`sh -c 'exit 0'` ended before it had read all"),
        ("exit 0", "cat; exit 6", "exited with 6"),
        ("exec no-such-program", "cat", "exited with 127"),
    ],
)
def test_the_first_that_failed_is_named(source: str, sink: str, says: str) -> None:
    with pytest.raises(CommandError, match=says):
        pour(["sh", "-c", source], [["cat"], ["sh", "-c", sink]], timeout_s=60)


def test_what_is_poured_for_too_long_is_ended(tmp_path: Path) -> None:
    reads = ["sh", "-c", f"echo $$ >{tmp_path}/pid; exec sleep 600"]
    with pytest.raises(CommandError, match="did not end within 1 s"):
        pour(["yes"], [reads], timeout_s=1)
    assert not alive(int((tmp_path / "pid").read_text()))


def test_a_reader_that_is_not_there_leaves_no_writer(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="could not start: No such file"):
        pour(["sh", "-c", f"echo $$ >{tmp_path}/pid; exec yes"], [["cat"], [str(tmp_path / "none")]], timeout_s=60)
    eventually(
        lambda: not (tmp_path / "pid").exists() or not alive(int((tmp_path / "pid").read_text())),
        within_s=20,
        what="the writer to be gone",
    )
