"""A command of the user's own ends all harm as the owner's conditions do, and is ended with what it has started."""

import shlex
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from chaos.basics.waiting import eventually
from chaos.clusters.way.client import Access
from chaos.errors import OrdealError
from chaos.run import guard, stop_command
from chaos.run.guard import Guard, StoppedError
from chaos.run.stop_command import StopCommand
from tests.fake_apiserver import FakeApiServer

LONG_S = 60.0  # to end a hang
SAVED = {"node": "w1"}


def of(*argv: str) -> StopCommand:
    return StopCommand(argv)


def script(text: str) -> StopCommand:
    return of("sh", "-c", text)


def now(command: StopCommand) -> str:
    return command.ends(threading.Event())


@pytest.fixture
def tag(tmp_path: Path) -> Iterator[str]:
    """In the command line of what a test starts; at its end nothing of that is there."""
    yield str(tmp_path)
    eventually(lambda: not running(str(tmp_path)), within_s=LONG_S, what="all of it to be ended", every_s=0.01)


def running(tag: str) -> list[str]:
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if tag in (line := shlex.join(process.cmdline())):
                found.append(line)
    return found


def test_one_text_is_a_program_and_its_arguments_without_a_shell() -> None:
    command = StopCommand.of("""check --level 'very high' "$HOME" ; rm -f x""")
    assert command.argv == ("check", "--level", "very high", "$HOME", ";", "rm", "-f", "x")
    assert shlex.split(str(command)) == list(command.argv)


@pytest.mark.parametrize("text", ["", "  ", "''", "check 'that"])
def test_what_names_no_program_is_one_sentence(text: str) -> None:
    with pytest.raises(OrdealError, match=r"^--ordeal-stop-command [^\n]+$"):
        StopCommand.of(text)


def test_with_exit_code_0_harm_goes_on() -> None:
    assert now(of("true")) == ""


@pytest.mark.parametrize(
    ("command", "why"),
    [
        (script("echo first; echo 'the shop is down' >&2; exit 3"), "it exited with 3: the shop is down"),
        (of("false"), "it exited with 1"),
        (script("kill -9 $$"), "it exited with "),
        (of("/no/such/program"), "No such file"),
        (script("echo password=hunter2; exit 1"), "it exited with 1: password="),
    ],
)
def test_with_any_other_it_ends(command: StopCommand, why: str) -> None:
    said = now(command)
    assert said.startswith(f"the command `{command}` of --ordeal-stop-command ends all harm: it exited with ")
    assert why in said
    assert "\n" not in said
    assert "hunter2" not in said.partition("ends all harm")[2]


def test_what_cannot_be_started_at_all_ends_it_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stop_command, "BOUND", ("/no/such/timeout",))
    assert now(of("true")).startswith("the command `true` of --ordeal-stop-command ends all harm: it can't be run: ")


def test_one_that_hangs_ends_it_and_is_ended_with_its_children(tag: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stop_command, "WITHIN_S", 0.3)
    assert now(script(f"sh -c 'sleep 600; : {tag}' & sleep 600; : {tag}")).endswith(
        "ends all harm: it did not end within 0.3 s"
    )


def test_what_it_leaves_running_is_ended_and_keeps_nobody_waiting(tag: str) -> None:
    assert now(script(f"sh -c 'sleep 600; : {tag}' &")) == ""


def test_one_that_goes_on_when_all_is_over_is_ended_and_says_nothing(tag: str) -> None:
    over, said = threading.Event(), list[str]()
    thread = threading.Thread(target=lambda: said.append(script(f"sleep 600; : {tag}").ends(over)))
    thread.start()
    eventually(lambda: running(tag), within_s=LONG_S, what="it to run", every_s=0.01)
    over.set()
    thread.join(LONG_S)
    assert said == [""]


def test_a_killed_run_leaves_it_not_for_long() -> None:
    """Nobody ends it then but the program that it is run by."""
    assert stop_command.BOUND == ("timeout", "-s", "KILL", "25")
    assert stop_command.WITHIN_S < 25


# --- as one of the guard's conditions


@pytest.fixture
def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeApiServer]:
    monkeypatch.setattr(guard, "LOOK_EVERY_S", 0.02)
    with FakeApiServer(tmp_path) as made:
        made.put("nodes", "w1")
        yield made


def guarding(api: FakeApiServer, command: StopCommand, stopped: Callable[[str], None]) -> Guard:
    return Guard(Access(api.kubeconfig).client, stopped, command)


def test_it_is_asked_before_the_first_harm(api: FakeApiServer) -> None:
    told: list[str] = []
    with (
        pytest.raises(
            OrdealError, match=r"^kill is not done: the command `false` of .* ends all harm: it exited with 1$"
        ),
        guarding(api, of("false"), told.append).harming("mass", "kill", SAVED),
    ):
        pytest.fail("it was begun")
    assert told == ["the command `false` of --ordeal-stop-command ends all harm: it exited with 1"]
    assert not api.lease, "nothing was harmed, so nothing is told"


def test_it_ends_harm_that_goes_on(api: FakeApiServer, tmp_path: Path) -> None:
    told, flag, asked = list[str](), tmp_path / "down", tmp_path / "asked"
    command = script(f"echo >>{asked}; ! test -e {flag}")

    def story() -> None:
        with guarding(api, command, told.append).harming("mass", "kill", SAVED):
            before = asked.stat().st_size
            eventually(lambda: asked.stat().st_size > before + 1, within_s=LONG_S, what="two asks", every_s=0.01)
            assert not told
            flag.touch()
            threading.Event().wait(LONG_S)
            pytest.fail("nothing stopped it")

    with pytest.raises(StoppedError, match=r"ends all harm: it exited with 1$") as stopped:
        story()
    assert str(stopped.value) == f"stopped: {told[0]}"
    assert len(told) == 1


def test_one_that_hangs_keeps_no_other_word_of_the_owners_waiting(api: FakeApiServer, tmp_path: Path, tag: str) -> None:
    first = tmp_path / "first"
    command = script(f"test -e {first} || {{ touch {first}; exit 0; }}; sleep 600; : {tag}")

    def story() -> None:
        with guarding(api, command, lambda _: None).harming("mass", "kill", SAVED):
            eventually(lambda: running(f"sleep 600; : {tag}"), within_s=LONG_S, what="it to hang", every_s=0.01)
            api.guard = {"guard": "{nodes: ''}", "halt": "true"}
            threading.Event().wait(LONG_S)
            pytest.fail("nothing stopped it")

    with pytest.raises(StoppedError, match="the owner has halted all harm"):
        story()
    assert not running(f"sleep 600; : {tag}"), "it is gone when the harm is over"
