"""What nodes can undo by themselves is armed on them; what takes them away, or is the API server's, is not."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from chaos.clusters.abilities import ArmsNodes, NodeExec, NodeNetwork, NodePower, NodeProcesses, RunsContainers
from chaos.errors import OrdealError
from chaos.harm import load_all
from chaos.harm.base import is_on_nodes, needs_agents, registered
from chaos.record.journal import Journal
from tests.harm.made_up import SAVED, SHORT_S, Harm, Run, Target, raises

load_all()


@dataclass
class Arms:
    """What was armed, and what it says of that."""

    said: list[str]
    lapsed: bool = False

    def disarm(self) -> None:
        self.said.append("disarm")

    def require(self) -> None:
        self.said.append("require")
        if self.lapsed:
            raise OrdealError("node w1 has taken it back by itself")

    def leave(self) -> None:
        self.said.append("leave")


@dataclass
class Armed(Target):
    """A cluster of nodes that take back by themselves, and all that they can do."""

    said: list[str] = field(default_factory=list)
    lapsed: bool = False

    def arm(self, fault: str, saved: Mapping[str, object]) -> Arms:
        assert saved == SAVED
        self.said.append(f"arm {fault}")
        return Arms(self.said, self.lapsed)

    def disarm_all(self, fault: str) -> None:
        raise NotImplementedError

    def anything(self, *_: object, **__: object) -> Any:
        raise NotImplementedError

    node_exec = on_node = in_network_of = addresses = anything
    power_state = power_off = power_on = container_runtime = anything


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with Journal(tmp_path / "run.jsonl") as made:
        yield made


def test_the_cluster_has_all_that_is_asked_for_here() -> None:
    assert isinstance(Armed(), ArmsNodes)
    assert isinstance(Armed(), NodePower)


@pytest.mark.parametrize("needs", [(NodeExec,), (NodeProcesses,), (RunsContainers, NodeNetwork)])
def test_what_is_done_on_nodes_is_armed_there_before_the_harm(journal: Journal, needs: tuple[type, ...]) -> None:
    cluster = Armed()
    run = Run(Harm({"apply": lambda: cluster.said.append("apply")}, needs), journal, cluster)
    run()
    assert cluster.said == ["arm made-up", "apply", "require", "disarm"]


@pytest.mark.parametrize("needs", [(NodePower,), (), (RunsContainers,)])
def test_what_no_node_can_undo_is_not_armed(journal: Journal, needs: tuple[type, ...]) -> None:
    """Nor does a node's word that it has taken something back make anything of it unknown."""
    cluster = Armed(lapsed=True)
    Run(Harm(needs=needs), journal, cluster)()
    assert cluster.said == []


def test_what_a_node_has_taken_back_by_itself_is_told(journal: Journal) -> None:
    cluster = Armed(lapsed=True)
    with pytest.raises(OrdealError, match="node w1 has taken it back by itself"):
        Run(Harm(needs=(NodeExec,)), journal, cluster)()
    assert cluster.said == ["arm made-up", "require", "disarm"]


def test_what_is_not_undone_from_here_is_left_to_the_node(journal: Journal) -> None:
    cluster = Armed()
    harm = Harm({"undo": raises(OSError("no way there"))}, (NodeExec,))
    with pytest.raises(OrdealError, match="could not be undone"):
        Run(harm, journal, cluster, undone_within_s=SHORT_S)()
    assert cluster.said == ["arm made-up", "require", "leave"]


def test_which_faults_are_done_on_nodes() -> None:
    """Whoever adds one that is not looks here whether a node could undo it."""
    elsewhere = {kind for kind, fault in registered().items() if not is_on_nodes(fault.needs)}
    assert elsewhere == {
        "break-conversion",
        "delete-pods",
        "delete-service",
        "drain-node",
        "drop-priority",
        "edit-etcd-behind",
        "fill-file-system",
        "hold-pods",
        "lose-aggregated-api",
        "lose-pod",
        "lose-webhook",
        "mark-out-of-service",
        "pause",
        "pause-component",
        "plant-aged",
        "power-off",
        "replace-control-plane",
        "restore-snapshot",
        "scale-to-zero",
        "serve-webhook",
        "set-node-label",
        "stall-etcd-at-start",
        "start-anew",
        "stop-controller-manager",
        "stop-heartbeats",
        "swap-component",
        "take-out-of-service",
        "update-elsewhere",
        "upgrade-command",
    }
    assert all(needs_agents(kind) == (kind not in elsewhere) for kind in registered())
    assert needs_agents("of a later version")
