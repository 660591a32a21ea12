"""What listens on a node is told before a workload is put there that needs the port."""

from typing import Any

import pytest

from chaos.errors import OrdealError
from chaos.subjects.links.iperf import NODE_PORT, Iperf
from chaos.workloads.ports import check_free, listened_on

SAID = (
    "LISTEN 0      4096                  127.0.0.1:10248      0.0.0.0:*\n"
    "LISTEN 0      4096                          *:30391            *:*\n"
    "LISTEN 0      4096   [fe80::1%eth0]:6789            [::]:*\n"
)


class Cluster:
    """Two nodes; on the second something listens."""

    def in_network_of(self, node: str, argv: list[str]) -> list[str]:
        assert argv[0] == "ss"
        return ["printf", "%s", SAID if node == "w2" else ""]

    def addresses(self, _: str) -> tuple[str, ...]:
        return ()

    def nodes(self) -> tuple[Any, ...]:
        return tuple(type("Node", (), {"name": name})() for name in ("w1", "w2"))

    def api(self) -> Any:
        raise AssertionError("something was made")


def test_ports_are_read() -> None:
    assert listened_on(SAID) == {10248, 30391, 6789}


def test_a_port_that_is_free() -> None:
    cluster: Any = Cluster()
    check_free(cluster, ["w1", "w2"], [5201], "iperf3")


def test_a_port_that_is_taken_is_told_before_anything_is_made() -> None:
    cluster: Any = Cluster()
    with pytest.raises(OrdealError, match=f"port {NODE_PORT} of node w2 is taken already, and iperf3 needs it"):
        Iperf("image").deploy(cluster, "run", "ns")


def test_a_network_that_nothing_can_look_into_is_taken_as_it_is() -> None:
    cluster: Any = object()
    check_free(cluster, ["w1"], [NODE_PORT], "iperf3")
