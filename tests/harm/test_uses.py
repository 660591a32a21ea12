"""Each fault says what it uses of a node, and one that never gets there uses nothing of it."""

import pytest

from chaos.clusters.abilities import NodeExec, NodeNetwork
from chaos.harm import load_all
from chaos.harm.base import registered
from chaos.harm.uses import Capability, Uses, uses_of

load_all()
OURS = {kind: cls for kind, cls in registered().items() if cls.__module__.startswith("chaos.")}


@pytest.mark.parametrize("kind", OURS)
def test_a_fault_says_what_it_uses(kind: str) -> None:
    found = uses_of(OURS[kind])
    assert found is not None, f"give {OURS[kind].__name__} uses: ClassVar[Uses]; Uses() is for nothing"
    assert isinstance(vars(OURS[kind])["uses"], Uses), "an heir does not do what the other one does"
    assert all(found.modules)
    assert len(set(found.capabilities)) == len(found.capabilities)


@pytest.mark.parametrize("kind", OURS)
def test_what_never_gets_to_a_node_uses_nothing_there(kind: str) -> None:
    found, needs = uses_of(OURS[kind]), set(OURS[kind].needs)
    assert found is not None
    if NodeExec not in needs:
        assert not found.programs
        assert not found.labels
    if NodeNetwork not in needs:
        assert not found.tools
    if not needs & {NodeExec, NodeNetwork}:
        assert found == Uses()


class SaysNothing:
    kind = "made-up"


class SaysItInWords:
    kind = "made-up"
    uses = "the network"


@pytest.mark.parametrize("cls", [SaysNothing, SaysItInWords])
def test_of_a_fault_that_does_not_say_it_nobody_knows(cls: type) -> None:
    assert uses_of(cls) is None


def test_capabilities_are_written_as_systemd_reads_them() -> None:
    assert all(each == f"CAP_{each.name}" for each in Capability)
