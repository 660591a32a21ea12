"""A user's own command, a real one: what it is told, what it says, and what becomes of one that hangs."""

from pathlib import Path

import pytest

from chaos.basics.waiting import eventually
from chaos.clusters.abilities import OFF, RUNNING
from chaos.clusters.power import command
from chaos.clusters.power.command import own_command
from chaos.errors import OrdealError

AS_IN_THE_DOCUMENTATION = "./power {off|on|state} {node}"
# Keeps how it was called, and one file for each machine that is off.
POWER = """#!/bin/sh
echo "$*" >>calls
case "$1" in
  off) if [ -e "off-$2" ]; then echo "$2 is off already" >&2; exit 1; fi; touch "off-$2" ;;
  on) rm "off-$2" ;;
  state) if [ -e "off-$2" ]; then echo off; else echo on; fi ;;
esac
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    script(tmp_path, POWER)
    return tmp_path


def script(folder: Path, text: str) -> None:
    (folder / "power").write_text(text)
    (folder / "power").chmod(0o755)


def calls(folder: Path) -> list[str]:
    return (folder / "calls").read_text().splitlines()


def test_it_switches_a_node_off_and_on_in_its_folder(folder: Path) -> None:
    assert Path.cwd() != folder
    power = own_command(AS_IN_THE_DOCUMENTATION, folder)
    assert power.state("worker-1") == RUNNING
    power.off("worker-1")
    assert (power.state("worker-1"), power.state("worker-2")) == (OFF, RUNNING)
    power.on("worker-1")
    assert power.state("worker-1") == RUNNING
    assert [each for each in calls(folder) if not each.startswith("state")] == ["off worker-1", "on worker-1"]


def test_what_is_so_already_is_not_done_again(folder: Path) -> None:
    """Tools refuse that: an undo comes again, and also where nothing was done."""
    power = own_command(AS_IN_THE_DOCUMENTATION, folder)
    power.on("worker-1")
    power.off("worker-1")
    power.off("worker-1")
    assert calls(folder) == ["state worker-1", "state worker-1", "off worker-1", "state worker-1"]


@pytest.mark.parametrize(
    ("told", "argv"),
    [
        (AS_IN_THE_DOCUMENTATION, ["./power", "off", "w1"]),
        ("./power {node} {state|on|off}", ["./power", "w1", "off"]),
        ("ssh 'my host' -- 'power --{on|off|state}={node}.rack'", ["ssh", "my host", "--", "power --off=w1.rack"]),
        ("p {off|on|state} {node} {node} $HOME ; true", ["p", "off", "w1", "w1", "$HOME", ";", "true"]),
    ],
)
def test_the_placeholders_are_filled_wherever_they_are_and_no_shell_reads_it(told: str, argv: list[str]) -> None:
    assert own_command(told, Path("/"))._argv("off", "w1") == argv


@pytest.mark.parametrize(
    ("told", "says"),
    [
        ("", "has to have {off|on|state} where the word for it goes"),
        ("./power {node}", "has to have {off|on|state} where"),
        ("./power {off|on|status} {node}", "has to have {off|on|state} where"),
        ("./power {off|on|state} {off|off|on} {node}", "has to have {off|on|state} where"),
        ("./power {off|on|state}", "has to have {node} where"),
        ("./power '{off|on|state} {node}", "can't be split into words (No closing quotation)"),
    ],
)
def test_what_can_not_be_meant_is_refused_with_an_example(told: str, says: str) -> None:
    with pytest.raises(OrdealError) as refused:
        own_command(told, Path("/"))
    assert says in str(refused.value)
    assert AS_IN_THE_DOCUMENTATION in str(refused.value)


@pytest.mark.parametrize("said", ["", "On", "no such machine", "on off", "on\noff"])
def test_what_is_no_state_is_named(folder: Path, said: str) -> None:
    script(folder, f"#!/bin/sh\nprintf '%s' '{said}'\n")
    with pytest.raises(OrdealError) as refused:
        own_command(AS_IN_THE_DOCUMENTATION, folder).state("w1")
    assert f"`./power state w1` said {said!r}; it has to say `on` or `off`, and nothing else" in str(refused.value)


@pytest.mark.parametrize("verb", ["state", "off"])
def test_one_that_fails_is_told_with_what_it_said(folder: Path, verb: str) -> None:
    script(folder, f"#!/bin/sh\n[ $1 = {verb} ] && echo 'no way to the rack' >&2 && exit 4\necho on\n")
    with pytest.raises(
        OrdealError, match=rf"`./power {verb} w1` exited with 4; its last output:\n    no way to the ra"
    ):
        own_command(AS_IN_THE_DOCUMENTATION, folder).off("w1")


def test_one_that_is_not_there_is_told_with_where_it_should_be(tmp_path: Path) -> None:
    with pytest.raises(OrdealError, match=r"`./power state w1` could not start: No such file or directory: ./power"):
        own_command(AS_IN_THE_DOCUMENTATION, tmp_path).state("w1")
    with pytest.raises(OrdealError, match=rf"could not start: No such file or directory: {tmp_path}/gone"):
        own_command(AS_IN_THE_DOCUMENTATION, tmp_path / "gone").state("w1")


def test_one_that_hangs_is_ended_with_what_it_has_started(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it has started may be the very program that switches the node, and must not do so later."""
    monkeypatch.setattr(command, "SWITCHES_WITHIN_S", 0.2)
    script(folder, "#!/bin/sh\n[ $1 = state ] && { echo on; exit; }\nsleep 600 & echo $! >pid; echo waits; wait\n")
    with pytest.raises(OrdealError, match=r"`./power off w1` did not end within 0.2 s; its last output:\n    waits"):
        own_command(AS_IN_THE_DOCUMENTATION, folder).off("w1")
    child = Path("/proc") / (folder / "pid").read_text().strip() / "stat"
    eventually(lambda: not child.exists() or ") Z " in child.read_text(), within_s=20, what="the child to end")


def test_its_environment_is_the_users(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RACK", "r7")
    script(folder, '#!/bin/sh\necho "$RACK" >rack; echo on\n')
    assert own_command(AS_IN_THE_DOCUMENTATION, folder).state("w1") == RUNNING
    assert (folder / "rack").read_text() == "r7\n"
