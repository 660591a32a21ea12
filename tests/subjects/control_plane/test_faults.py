"""Kubelets that are pinned to an address, on a fake node: what is refused before any harm, and what undo does."""

import re
from collections.abc import Sequence

import pytest

from chaos.clusters.base import ClusterRef, Node
from chaos.errors import OrdealError
from chaos.hosts.command import Output
from chaos.subjects.control_plane.faults import PinKubelets

NAMED = "https://cluster-control-plane:6443"


class Machine:
    """A cluster of a control plane and a worker, whose kubelet has a kubeconfig and a process."""

    ref = ClusterRef("fake", "fake", "")

    def __init__(self) -> None:
        self.server, self.process = NAMED, 100

    def nodes(self) -> tuple[Node, ...]:
        return tuple(Node(name, name == "cp", "True", address, "", ()) for name, address in ADDRESSES.items())

    def addresses(self, node: str) -> tuple[str, ...]:
        return (ADDRESSES[node],)

    def node_exec(
        self, node: str, argv: Sequence[str], *, timeout_s: float = 30.0, check: bool = True, stdin: str | None = None
    ) -> Output:
        said = " ".join(argv)
        if argv[0] == "cat":
            return Output(0, f"apiVersion: v1\nclusters:\n- cluster:\n    server: {self.server}\n", "")
        if "sed -i" in said:
            found = re.search(r"server: (https\S+)#", said)
            assert found is not None
            self.server, self.process = found[1], self.process + 1
        elif "MainPID" in said:
            return Output(0, f"{self.process}\n", "")
        return Output(0, "", "")


ADDRESSES = {"cp": "10.0.0.1", "w1": "10.0.0.2"}


@pytest.mark.parametrize(("node", "says"), [("w9", "there is no node w9"), ("cp", "control plane")])
def test_refused_before_any_harm(node: str, says: str) -> None:
    machine = Machine()
    with pytest.raises(OrdealError, match=says):
        PinKubelets((node,)).plan(machine)  # type: ignore[arg-type]
    assert machine.server == NAMED


def test_kubelets_are_pinned_to_the_address_and_given_the_name_back() -> None:
    machine = Machine()
    pin = PinKubelets(("w1",))
    saved = pin.plan(machine)  # type: ignore[arg-type]
    assert not pin.landed(machine, saved)  # type: ignore[arg-type]
    pin.apply(machine, saved)  # type: ignore[arg-type]
    assert machine.server == "https://10.0.0.1:6443"
    assert pin.landed(machine, saved)  # type: ignore[arg-type]
    assert not PinKubelets.undone(machine, saved)  # type: ignore[arg-type]
    PinKubelets.undo(machine, saved)  # type: ignore[arg-type]
    assert machine.server == NAMED
    restarts = machine.process
    PinKubelets.undo(machine, saved)  # type: ignore[arg-type]
    assert machine.process == restarts, "a kubelet that has its name back is not restarted again"
    assert PinKubelets.undone(machine, saved)  # type: ignore[arg-type]
