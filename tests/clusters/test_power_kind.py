"""Nodes that are kind's containers, switched by their names: those of kind alone."""

import json
from pathlib import Path

import pytest

from chaos.clusters.abilities import OFF, RUNNING
from chaos.clusters.power.kind import kind
from chaos.errors import OrdealError
from tests.hosts.fake_docker import FakeDocker

ID = "ab" * 32


def container(cluster: str | None, status: str) -> str:
    labels = None if cluster is None else {"io.x-k8s.kind.cluster": cluster}
    entry = {
        "Name": "/c-worker", "Id": ID, "Config": {"Labels": labels},
        "State": {"Status": status, "Pid": 0}, "NetworkSettings": {"Networks": {"kind": {}}},
    }  # fmt: skip
    return f"echo '{json.dumps([entry])}'"


@pytest.mark.parametrize(("status", "state"), [("running", RUNNING), ("exited", OFF)])
@pytest.mark.parametrize("told", ["", "c"])
def test_a_node_is_its_container(docker_client: FakeDocker, told: str, status: str, state: str) -> None:
    docker_client.install(inspect=container("c", status))
    assert kind(told, Path("/")).state("c-worker") == state
    assert docker_client.calls == ["inspect --type container c-worker", f"inspect --type container {ID}"]


def test_one_that_is_off_is_not_switched_off(docker_client: FakeDocker) -> None:
    docker_client.install(inspect=container("c", "exited"))
    kind("", Path("/")).off("c-worker")
    assert {each.split()[0] for each in docker_client.calls} == {"inspect"}


def test_one_that_is_off_is_started(docker_client: FakeDocker) -> None:
    docker_client.install(inspect=container("c", "exited"), network_ls="true")
    kind("c", Path("/")).on("c-worker")
    assert docker_client.calls[-1] == f"start {ID}"


@pytest.mark.parametrize(("cluster", "told"), [(None, ""), (None, "c"), ("another", "c")])
def test_a_container_that_is_no_node_of_the_cluster_is_left_alone(
    docker_client: FakeDocker, cluster: str | None, told: str
) -> None:
    docker_client.install(inspect=container(cluster, "running"))
    driver = kind(told, Path("/"))
    for step in (driver.off, driver.on, driver.state):
        with pytest.raises(OrdealError, match=r"container c-worker is no node of (a kind cluster|the kind cluster c)$"):
            step("c-worker")
    assert {each.split()[0] for each in docker_client.calls} == {"inspect"}
