"""A cluster's own Docker network: where its subnet comes from, and that it is taken away again."""

import ipaddress
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from chaos.clusters.kind import networks
from chaos.errors import OrdealError
from chaos.hosts import engine, preparations, ranges
from chaos.hosts.command import CommandError
from tests.hosts.fake_docker import FakeDocker

MTU = "com.docker.network.driver.mtu"


@pytest.fixture
def routes(monkeypatch: pytest.MonkeyPatch) -> list[ranges.Network]:
    """What this machine has routes to; it speaks IPv6."""
    there: list[ranges.Network] = []
    monkeypatch.setattr(ranges, "routed", lambda: there)
    monkeypatch.setattr(ranges, "has_ipv6", lambda: True)
    return there


def created(made: FakeDocker) -> list[str]:
    return [call.removeprefix("network create ") for call in made.calls if call.startswith("network create")]


def test_each_cluster_has_the_next_free_subnet(docker_client: FakeDocker, routes: list[ranges.Network]) -> None:
    told: list[str] = []
    assert networks.make("c", told.append) == "kube-ordeal-c"
    routes.append(ipaddress.ip_network("172.30.0.0/24"))
    networks.make("d", told.append)
    assert told == ["made the network kube-ordeal-c, 172.30.0.0/24", "made the network kube-ordeal-d, 172.30.1.0/24"]
    one, two = created(docker_client)
    assert "--label=org.kube-ordeal.cluster=c --subnet=172.30.0.0/24 --ipv6 --subnet=fd6b:6f72:6465:1e00::/64" in one
    assert "--subnet=fd6b:6f72:6465:1e01::/64 kube-ordeal-d" in two


def test_all_of_them_are_in_ranges_that_can_be_contained() -> None:
    wide = ipaddress.ip_network(ranges.NODE_RANGE_6)
    first = [next(ipaddress.IPv4Network(each).subnets(new_prefix=24)) for each in ranges.NODE_RANGES]
    six = {ranges.subnet_6(each) for each in first}
    assert len(six) == len(first)
    assert all(each.subnet_of(wide) for each in six)  # type: ignore[arg-type]


def test_one_that_somebody_has_is_passed_over(docker_client: FakeDocker, routes: list[ranges.Network]) -> None:
    routes.append(ipaddress.ip_network("172.16.0.0/12"))  # a VPN's
    overlaps = "echo 'invalid pool request: Pool overlaps with other one on this address space' >&2; exit 1"
    docker_client.install(network_create=f'case "$*" in *10.230.0.0/24*) {overlaps} ;; esac')
    networks.make("c", lambda _: None)
    assert "--subnet=10.230.1.0/24" in created(docker_client)[-1]


def test_an_engine_without_ipv6_gives_a_network_without(
    docker_client: FakeDocker, routes: list[ranges.Network]
) -> None:
    assert routes == []
    no_ipv6 = "echo 'Cannot read IPv6 setup for bridge' >&2; exit 1"
    docker_client.install(network_create=f'case "$*" in *--ipv6*) {no_ipv6} ;; esac')
    networks.make("c", lambda _: None)
    assert created(docker_client)[-1].endswith("--subnet=172.30.0.0/24 kube-ordeal-c")


def test_another_failure_is_told_at_once(docker_client: FakeDocker, routes: list[ranges.Network]) -> None:
    assert routes == []
    docker_client.install(network_create="echo 'could not create bridge: operation not permitted' >&2; exit 1")
    with pytest.raises(CommandError, match="operation not permitted"):
        networks.make("c", lambda _: None)
    assert len(created(docker_client)) == 1


def test_packets_are_no_larger_than_on_the_engines_own_network(
    docker_client: FakeDocker, routes: list[ranges.Network]
) -> None:
    assert routes == []
    docker_client.install(network_inspect="echo 1400")
    networks.make("c", lambda _: None)
    assert f"--opt={MTU}=1400" in created(docker_client)[0]


def test_no_room_is_a_sentence(docker_client: FakeDocker, routes: list[ranges.Network]) -> None:
    routes += [ipaddress.ip_network(each) for each in ranges.NODE_RANGES]
    with pytest.raises(OrdealError, match="every range for nodes' networks is in use here"):
        networks.make("c", lambda _: None)
    assert created(docker_client) == []


def test_what_an_engine_of_ours_carries_stays_on_this_machine(
    docker_client: FakeDocker, routes: list[ranges.Network], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert routes == []
    assert docker_client.client
    contained: list[tuple[str, ...]] = []
    monkeypatch.setattr(preparations, "contain", lambda wide, _: contained.append(tuple(wide)))
    networks.make("c", lambda _: None)
    assert contained == []  # a user's own Docker: the routes are the user's
    ours = replace(engine.chosen(), ours=True)
    monkeypatch.setattr(engine, "chosen", cache(lambda: ours))
    networks.make("d", lambda _: None)
    assert contained == [("172.30.0.0/16", ranges.NODE_RANGE_6)]


def test_it_is_removed_where_it_is_there(docker_client: FakeDocker, tmp_path: Path) -> None:
    networks.remove("c")
    assert not any(call.startswith("network rm") for call in docker_client.calls)
    docker_client.install(network_ls="echo abc", network_rm=f"touch {tmp_path}/removed")
    assert networks.is_there("c")
    networks.remove("c")
    assert (tmp_path / "removed").exists()
    assert f"network ls --quiet --filter=name=^kube-ordeal-c$ --filter=label={networks.LABEL}=c" in docker_client.calls
