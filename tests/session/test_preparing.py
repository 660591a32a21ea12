"""Set-up as a process of its own: what it says, how it ended, and that it is ended with the run."""

import sys
import threading
from pathlib import Path

import pytest

from chaos.basics.waiting import eventually
from chaos.errors import OrdealError
from chaos.run.incident import Load
from chaos.run.turn import Turn
from chaos.session import preparing
from chaos.session.preparing import Preparing

SAYS = "import sys; print('08:00:00 start: x'); print('08:00:01   building x'); sys.exit({code})"
WAITS = """
import signal, sys
def told(*_):
    print("taken back", flush=True)
    sys.exit(130)
signal.signal(signal.SIGTERM, told)
print("ready", flush=True)
signal.pause()
"""


def begin(monkeypatch: pytest.MonkeyPatch, folder: Path, code: str) -> tuple[Preparing, list[str], threading.Event]:
    monkeypatch.setattr(preparing, "_COMMAND", [sys.executable, "-c", code])
    said: list[str] = []
    over = threading.Event()
    return Preparing(folder, [], said.append, over.set), said, over


def test_what_it_says_is_reported_without_its_own_time(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    made, said, over = begin(monkeypatch, tmp_path, SAYS.format(code=0))
    assert over.wait(20)
    made.end()
    assert said == ["set-up: start: x", "set-up: building x"]
    assert (made.now, made.failure) == ("", "")
    Turn(tmp_path).prepared(lambda: None)


def test_why_it_failed_is_said_to_the_replays_that_waited(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    made, _, over = begin(monkeypatch, tmp_path, SAYS.format(code=2))
    assert over.wait(20)
    made.end()
    assert made.failure == "start: x building x"
    with pytest.raises(OrdealError, match="set-up did not reach its end: start: x building x"):
        Turn(tmp_path).prepared(lambda: None)


def test_it_is_ended_with_the_run_and_holds_back_who_works_until_then(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    made, said, over = begin(monkeypatch, tmp_path, WAITS)
    eventually(lambda: made.now == "ready", within_s=20, what="the set-up to have begun", every_s=0.01)
    turn, waited, has = Turn(tmp_path), threading.Event(), threading.Event()

    def work() -> None:
        turn.take(Load.WORKS, waiting=waited.set)
        has.set()

    threading.Thread(target=work, daemon=True).start()
    assert waited.wait(5)
    assert not has.is_set()
    made.end()
    made.end()
    assert over.is_set()
    assert said[-1] == "set-up: taken back"
    assert has.wait(5)
    turn.give_back()


def test_a_folder_that_cannot_be_written_is_told_before_anything_is_begun(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OrdealError, match="can't be written"):
        begin(monkeypatch, tmp_path / "file", SAYS.format(code=0))
