"""What the agents of a run may do on their nodes, and how they are taken off."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chaos.clusters.agent.cluster import LeftBehindError
from chaos.clusters.agent.deployment import OWN
from chaos.clusters.base import EXISTING, ClusterRef
from chaos.harm import load_all
from chaos.harm.base import registered
from chaos.harm.link import BadLink
from chaos.harm.uses import Capability
from chaos.record.journal import AGENT, Journal
from chaos.run import agents
from chaos.run.agents import RunAgents, WantedAgents, capabilities_for
from chaos.run.guard import Anything

load_all()


def test_a_unit_has_what_the_faults_that_are_allowed_use_and_no_more() -> None:
    assert set(capabilities_for([])) == set(OWN)
    assert set(capabilities_for([BadLink.kind])) == {*OWN, "CAP_NET_ADMIN", "CAP_NET_RAW"}
    every = set(capabilities_for(Anything().faults(registered())))
    assert every == {*OWN, *map(str, Capability)}


def test_none_of_them_is_given_that_lets_a_program_load_code_into_the_kernel() -> None:
    unheard_of = {"CAP_SYS_MODULE", "CAP_SYS_RAWIO", "CAP_BPF", "CAP_SYS_BOOT", "CAP_MAC_ADMIN", "CAP_SETFCAP"}
    assert not unheard_of & set(capabilities_for(registered()))


@pytest.fixture
def there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[RunAgents, Journal, list[str]]]:
    """Agents that were put onto nodes; what is told of them."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    said: list[str] = []
    with Journal(tmp_path / "run.jsonl") as journal:
        made = RunAgents(WantedAgents(Path("kubeconfig"), "", "image"), journal, "run", said.append, Anything())
        made._entry = journal.planned(AGENT, ClusterRef(EXISTING, "theirs", "kubeconfig", agent="x"), {})
        nowhere: Any = object()
        made._there = nowhere
        yield made, journal, said


def test_what_they_left_on_a_node_is_told_though_they_are_gone(
    there: tuple[RunAgents, Journal, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    taken, journal, _ = there

    def take_off(*_: object) -> None:
        raise LeftBehindError("nodes are not as before")

    monkeypatch.setattr(agents, "take_off", take_off)
    with pytest.raises(LeftBehindError):
        taken.take_away()
    assert journal.pending() == ()
    taken.take_away()  # there are none any more


def test_where_they_could_not_be_taken_off_they_stay_in_the_journal(
    there: tuple[RunAgents, Journal, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    taken, journal, _ = there

    def take_off(*_: object) -> None:
        raise OSError("the API server is away")

    monkeypatch.setattr(agents, "take_off", take_off)
    with pytest.raises(OSError, match="away"):
        taken.take_away()
    assert [each.kind for each in journal.pending()] == [AGENT]
