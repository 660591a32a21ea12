"""A driver is held to its word: what is off is said to be off, and what it can't do or say is one sentence."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pytest

from chaos.clusters.abilities import OFF, RUNNING, NodePower
from chaos.clusters.base import Node
from chaos.clusters.power import switch
from chaos.clusters.power.switch import PowerSwitch, check
from chaos.errors import OrdealError

SHORT_S = 0.05


@dataclass
class Machines:
    """A driver that does what a test says. `states`: of one machine, in the order in which it is asked for them."""

    states: list[str | Exception] = field(default_factory=lambda: [RUNNING])
    does: Callable[[], None] = lambda: None
    told: list[str] = field(default_factory=list)

    def off(self, node: str) -> None:
        self.told.append(f"off {node}")
        self.does()

    def on(self, node: str) -> None:
        self.told.append(f"on {node}")
        self.does()

    def state(self, node: str) -> str:
        said = self.states.pop(0) if len(self.states) > 1 else self.states[0]
        if isinstance(said, Exception):
            raise said
        return said


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LOOK_EVERY_S", "SETTLES_S"):
        monkeypatch.setattr(switch, name, 0.001)


@pytest.fixture
def in_vain(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OFF_WITHIN_S", "ON_WITHIN_S"):
        monkeypatch.setattr(switch, name, SHORT_S)


def switched(*states: str | Exception, does: Callable[[], None] = lambda: None) -> tuple[PowerSwitch, Machines]:
    machines = Machines(list(states), does)
    return PowerSwitch("rack", machines), machines


def test_it_is_a_clusters_power() -> None:
    assert isinstance(switched(RUNNING)[0], NodePower)


def test_off_returns_when_it_is_off() -> None:
    power, machines = switched(RUNNING, RUNNING, OFF)
    power.power_off("w1")
    assert machines.told == ["off w1"]
    assert machines.states == [OFF]


def test_on_returns_when_it_runs() -> None:
    power, machines = switched(OFF, OFF, OFF, RUNNING)
    power.power_on("w1")
    assert machines.told == ["on w1"]
    assert machines.states == [RUNNING]


@pytest.mark.parametrize("state", [OrdealError("nobody answers"), RuntimeError("a mistake"), "shutting down"])
def test_what_it_can_not_say_for_a_moment_is_asked_again(state: str | Exception) -> None:
    power, machines = switched(state, state, OFF)
    power.power_off("w1")
    assert machines.states == [OFF]
    power, machines = switched(state, state, RUNNING)
    power.power_on("w1")
    assert machines.told == ["on w1"]


def test_a_machine_that_never_goes_off_is_one_sentence(in_vain: None) -> None:
    power, _ = switched(RUNNING)
    with pytest.raises(OrdealError) as refused:
        power.power_off("w1")
    said = "the power driver rack was told that node w1 is to be off, and 0.05 s later it says that it is running"
    assert str(refused.value) == said


def test_a_machine_of_which_it_does_not_know_is_one_sentence(in_vain: None) -> None:
    power, _ = switched(OFF, OFF, OrdealError("the rack is away"))
    with pytest.raises(OrdealError, match=r"0.05 s later it can't say what it is \(the rack is away\)$"):
        power.power_on("w1")


def test_one_that_ran_already_may_be_on_its_way_off() -> None:
    """Of a run that was killed: what it had asked for comes a moment after all was well."""
    power, _ = switched(RUNNING, RUNNING, OFF)
    with pytest.raises(OrdealError, match="is to be running, and 0 s later it says that it is off"):
        power.power_on("w1")
    power, machines = switched(RUNNING)
    power.power_on("w1")
    assert machines.told == ["on w1"]


@pytest.mark.parametrize("state", ["", "paused", "Running", "on"])
def test_what_is_no_state_is_one_sentence(state: str) -> None:
    with pytest.raises(OrdealError) as refused:
        switched(state)[0].power_state("w1")
    assert str(refused.value) == f"the power driver rack says that node w1 is {state!r}, which is no state"


def raises(error: Exception) -> Callable[[], None]:
    def do() -> None:
        raise error

    return do


def test_a_drivers_own_mistake_is_one_sentence() -> None:
    power, _ = switched(RUNNING, does=raises(KeyError("w1")))
    for step in (power.power_off, power.power_on):
        with pytest.raises(OrdealError, match=r"^the power driver rack failed with node w1: KeyError\('w1'\)$"):
            step("w1")


def test_a_drivers_own_sentence_stays() -> None:
    power, _ = switched(RUNNING, does=raises(OrdealError("the rack is locked")))
    with pytest.raises(OrdealError, match=r"^the rack is locked$"):
        power.power_off("w1")


@pytest.mark.parametrize("name", ["", "-w", "--all", "w1 w2", "w/1", "$(reboot)", "W1", "w" * 254, "w1\n"])
def test_what_no_node_can_be_called_is_told_to_nobody(name: str) -> None:
    power, machines = switched(RUNNING)
    for step in (power.power_off, power.power_on, power.power_state):
        with pytest.raises(OrdealError, match="can't be the name of a node"):
            step(name)
    assert machines.told == []


# --- before a run


def nodes(*ready: str) -> Sequence[Node]:
    return [Node(f"w{n}", False, each, "", "", ()) for n, each in enumerate(ready)]  # noqa: FBT003


def test_every_node_is_asked_for() -> None:
    power, machines = switched(RUNNING, RUNNING, RUNNING, OFF)
    check(power, nodes("True", "True", "False"))
    assert machines.states == [OFF]


def test_a_node_that_is_not_ready_may_be_off() -> None:
    check(switched(OFF)[0], nodes("Unknown", "False"))


def test_a_node_that_is_ready_is_not_off() -> None:
    says = r"^the power driver rack says that node w1 is off, and the API server that it is Ready: .* another machine"
    with pytest.raises(OrdealError, match=says):
        check(switched(OFF)[0], nodes("False", "True"))


def test_one_that_can_not_be_asked_is_told() -> None:
    with pytest.raises(OrdealError, match=r"^the rack is away$"):
        check(switched(OrdealError("the rack is away"))[0], nodes("True"))
