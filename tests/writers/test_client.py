"""Client processes: what they say becomes records, what they don't say a gap, and nobody is left running."""

import os
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from chaos.basics.waiting import eventually
from chaos.errors import OrdealError
from chaos.judge.base import Verdict, judge
from chaos.judge.data import acknowledged_numbers, no_acknowledged_write_lost, stored
from chaos.record.history import History
from chaos.record.records import Blind, Stored, Writes
from chaos.writers import client
from chaos.writers.client import ClientProcess, Line, Writing, ask

pytestmark = pytest.mark.timed

# A client of a store in a file: it writes until its input ends. Every so many rows the store drops one on purpose.
STORE = """
import json, os, sys, threading, time
from chaos.writers.batches import Batches
settings = json.loads(sys.stdin.readline())
stop = threading.Event()
def write():
    batches = Batches("c1")
    with open(settings["file"], "a") as file:
        number = 0
        while not stop.is_set():
            number += 1
            start = time.monotonic()
            if not settings["drops"] or number % settings["drops"]:
                file.write(f"{number}\\n")
                file.flush()
            batches.add(number, ok=True, start=start, end=time.monotonic())
            time.sleep(0.0005)
    batches.flush()
thread = threading.Thread(target=write)
thread.start()
sys.stdin.read()
stop.set()
thread.join()
"""


class Here:
    """A node whose network is this one's."""

    def in_network_of(self, node: str, argv: Sequence[str]) -> list[str]:
        return list(argv)

    def addresses(self, node: str) -> tuple[str, ...]:
        return ()


def closed_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


@pytest.mark.parametrize("drops", [0, 7])
def test_a_store_that_drops_writes_is_convicted_and_one_that_does_not_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, drops: int
) -> None:
    monkeypatch.setattr(client, "argv_of", lambda *_: [sys.executable, "-c", STORE])
    history, file = History(), tmp_path / "rows"
    with Writing(Here(), history, "n", "store", "file", {"file": str(file), "drops": drops}) as writing:
        eventually(lambda: writing.acknowledged >= 200, within_s=30, what="writes")
    there = {int(line) for line in file.read_text().split()}
    numbers = acknowledged_numbers(history.of(Writes))["c1"]
    history.add(stored(history.now(), "store", "m0", "c1", numbers, there))
    finding = judge(no_acknowledged_write_lost("store", members=["m0"]), history)
    assert finding.figures["lost"] == (len(numbers) // drops if drops else 0)
    assert finding.verdict is (Verdict.VIOLATED if drops else Verdict.HELD)
    assert not history.of(Blind)
    assert len(history.of(Writes)) < len(numbers) / 4  # they come in batches
    assert [s.acknowledged for s in history.of(Stored)] == [len(numbers)]


def test_a_server_that_is_not_there_is_told_and_no_write_is_invented() -> None:
    settings = {"host": "127.0.0.1", "port": closed_port(), "user": "u", "password": "p", "clients": 2, "timeout_s": 1}
    history = History()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(client, "FIRST_WITHIN_S", 1.5)
        with pytest.raises(OrdealError, match=r"to be acknowledged, in vain.*[Cc]onnect"):
            Writing(Here(), history, "n", "mysql", "mysql", settings).__enter__()
    writes = history.of(Writes)
    assert writes
    assert not any(w.ok for w in writes)


def test_a_question_to_a_server_that_is_not_there_is_an_error_without_the_password() -> None:
    secret = "CHANGE MASTER TO MASTER_HOST='x', MASTER_PASSWORD='hunter2'"
    settings = {
        "hosts": {"m0": "127.0.0.1"},
        "port": closed_port(),
        "user": "u",
        "password": "p",
        "statements": [secret],
    }
    with pytest.raises(OrdealError, match=r"m0 \(127\.0\.0\.1\)") as error:
        ask(Here(), "n", "mysql", settings)
    assert "hunter2" not in str(error.value)


def heard_of(script: str, silent_after_s: float = 60.0, until: int = 1) -> tuple[History, list[Line]]:
    lines: list[Line] = []
    history = History()
    with ClientProcess(
        Here(),
        history,
        "n",
        [sys.executable, "-c", script],
        {},
        take=lines.append,
        source="writes:s",
        silent_after_s=silent_after_s,
    ) as process:
        eventually(lambda: len(lines) >= until or process.trouble, within_s=30, what="lines")
    return history, lines


def test_a_client_that_ends_by_itself_leaves_a_gap_with_its_last_word() -> None:
    history, lines = heard_of("import sys; print('{}'); sys.exit('the server is gone')", until=9)
    assert len(lines) == 1
    (blind,) = history.of(Blind)
    assert (blind.source, "the server is gone" in blind.why) == ("writes:s", True)


def test_a_client_that_was_silent_leaves_a_gap() -> None:
    script = "import sys, time; print('{}', flush=True); time.sleep(1.5); print('{}', flush=True); sys.stdin.read()"
    history, _ = heard_of(script, silent_after_s=0.5, until=2)
    blind = history.of(Blind)[-1]  # on a busy machine it is also silent while it starts
    assert (blind.until - blind.at > 1.0, blind.why) == (True, "it was silent")


def test_what_is_no_line_of_a_client_is_a_gap() -> None:
    history, lines = heard_of("import sys; print('oops', flush=True); print('{}', flush=True); sys.stdin.read()")
    assert lines == [{}]
    assert "'oops'" in history.of(Blind)[0].why


def test_a_client_that_does_not_end_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "ENDS_WITHIN_S", 0.5)
    script = "import os, time; print('{\"pid\": %d}' % os.getpid(), flush=True); time.sleep(600)"
    history, lines = heard_of(script)
    with pytest.raises(ProcessLookupError):
        os.kill(lines[0]["pid"], 0)
    assert history.of(Blind)
