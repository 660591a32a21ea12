"""Nodes that are containers: which client is run, whose process is entered, and addresses that can't be had."""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from chaos.clusters.kind import docker, pytestkind
from chaos.clusters.kind.pytestkind import KindTools
from chaos.errors import OrdealError
from chaos.hosts.command import CommandError, Output
from tests.hosts.fake_docker import FakeDocker

ID = "ab" * 32
CP = "c-control-plane"


def inspected(
    pid: int, *, network: str = "kube-ordeal-c", status: str = "running", of: str = ID, name: str = "c-worker"
) -> str:
    networks = {network: {"IPAddress": "172.30.0.2", "GlobalIPv6Address": ""}} if network else {}
    entry = {
        "Name": f"/{name}",
        "Id": of,
        "State": {"Status": status, "StartedAt": "2026-01-01T00:00:00Z", "Pid": pid},
        "NetworkSettings": {"Networks": networks},
        "Config": {"Labels": {docker.CLUSTER_LABEL: "c"}},
    }
    return f"""case "$*" in *Config.Image*) echo node:1 ;; *) echo '{json.dumps([entry])}' ;; esac"""


def network(*subnets: str, taken: str = "") -> str:
    containers = {ID: {"IPv4Address": f"{taken}/16"}} if taken else {}
    entry = {"IPAM": {"Config": [{"Subnet": each} for each in subnets]}, "Containers": containers}
    return f"echo '{json.dumps([entry])}'"


def test_the_chosen_client_is_run_for_all_of_a_cluster(docker_client: FakeDocker) -> None:
    there = (
        "c-worker 1 worker",
        "c-control-plane 2 control-plane",
        "c-external-load-balancer 3 external-load-balancer",
    )
    docker_client.install(ps="".join(f"echo {each}\n" for each in there), exec="cat")
    assert docker.names_in_cluster("c") == ("c-control-plane", "c-worker")
    assert docker.names_in_cluster("c", "worker") == ("c-worker",)
    assert docker.ids_in_cluster("c") == {"c-control-plane": "2", "c-worker": "1"}
    said = docker.execute("c-worker", ["ls"], timeout_s=20, check=True, stdin="words")
    assert said.out == "words"
    assert docker.interactive("c-worker", ["sh"]) == [
        str(docker_client.client),
        "exec",
        "--interactive",
        "c-worker",
        "sh",
    ]


def test_kind_is_given_the_chosen_client_docker_and_the_clusters_network(
    docker_client: FakeDocker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KIND_EXPERIMENTAL_PROVIDER", "podman")
    asked: dict[str, Any] = {}

    def run(argv: list[str], **options: Any) -> Output:
        asked.update(options["env"])
        assert argv[0] == sys.executable
        return Output(0, "", "")

    monkeypatch.setattr(pytestkind, "run", run)
    tools = KindTools(tmp_path / "kind", tmp_path / "kubectl")
    pytestkind.create("c", tmp_path / "kubeconfig", "node:1", tmp_path / "kind.yaml", tools, "kube-ordeal-c")
    assert asked["PATH"].split(os.pathsep)[0] == str(docker_client.folder)
    assert asked["KIND_EXPERIMENTAL_PROVIDER"] == "docker"
    assert asked["KIND_EXPERIMENTAL_DOCKER_NETWORK"] == "kube-ordeal-c"


@pytest.mark.usefixtures("docker_client")
def test_what_kind_writes_is_for_its_owner_alone(tmp_path: Path) -> None:
    """Not even briefly: kind itself runs with such an umask, whatever this process's is."""
    fake = tmp_path / "kind"
    loop = 'for each in "$@"; do case $each in --kubeconfig=*) echo >"${each#*=}-by-kind" ;; esac; done'
    fake.write_text(f"#!/bin/sh\n{loop}\n")
    fake.chmod(0o755)
    old = os.umask(0)
    try:
        with pytest.raises(CommandError):  # pytest-kind reads the kubeconfig then, and it is empty
            pytestkind.create("c", tmp_path / "config", None, tmp_path / "kind.yaml", KindTools(fake, fake), "net")
    finally:
        os.umask(old)
    assert [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("config", "config-by-kind")] == [0o600] * 2


def test_a_process_of_another_machine_is_never_entered(docker_client: FakeDocker) -> None:
    with subprocess.Popen(["sleep", "300"]) as stranger:
        try:
            docker_client.install(inspect=inspected(stranger.pid))
            with pytest.raises(OrdealError, match=f"process {stranger.pid} where the container engine runs, and that"):
                docker.in_network_of("c-worker", ["ip", "link"])
        finally:
            stranger.kill()


def test_the_process_of_the_container_is_entered(docker_client: FakeDocker) -> None:
    of_mine = Path("/proc/self/cgroup").read_text().splitlines()[0]  # stands for the container's id
    docker_client.install(inspect=inspected(os.getpid(), of=of_mine))
    argv = docker.in_network_of("c-worker", ["ip", "-json", "a b"])
    done = entered(docker_client, argv)
    assert done.stdout == f"--net=/proc/self/fd/9|--|ip|-json|a b|{Path('/proc/self/ns/net').readlink()}\n"


@pytest.mark.parametrize("ended", [True, False])
def test_a_process_id_that_is_another_ones_by_now_is_not_entered(docker_client: FakeDocker, ended: bool) -> None:
    """The argument list is run for as long as a replay lasts, and the node may be started anew meanwhile."""
    of_mine = Path("/proc/self/cgroup").read_text().splitlines()[0]
    node = subprocess.Popen(["sleep", "60"])
    try:
        docker_client.install(inspect=inspected(node.pid, of=of_mine))
        argv = docker.in_network_of("c-worker", ["ip", "link"])
        if ended:
            node.kill()
            node.wait()
        else:  # its number is that of a process in another container
            argv = [each.replace(of_mine, ID) for each in argv]
        done = entered(docker_client, argv)
    finally:
        node.kill()
        node.wait()
    assert done.returncode == 125
    assert done.stdout == ""
    assert f"process {node.pid} is not that of node c-worker any more" in done.stderr


def entered(docker_client: FakeDocker, argv: list[str]) -> "subprocess.CompletedProcess[str]":
    """What comes of the argument list where `nsenter` only says what it was given, and which network."""
    folder = docker_client.folder / "bin"
    folder.mkdir()
    script = folder / "nsenter"
    script.write_text('#!/bin/sh\nprintf "%s|" "$@"\nreadlink "${1#--net=}"\n')
    script.chmod(0o755)
    environment = {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"}
    return subprocess.run(argv, capture_output=True, text=True, check=False, env=environment)


def test_a_node_that_is_refused_an_address_is_not_left_without_a_network(docker_client: FakeDocker) -> None:
    refuses = 'case "$*" in *--ip*) echo "user specified IP address is supported only" >&2; exit 1 ;; esac'
    docker_client.install(inspect=inspected(0, network="kind", status="exited"), network_connect=refuses)
    with pytest.raises(CommandError, match="user specified IP address"):
        docker.power_on("c-worker", "172.30.0.9")
    assert [call for call in docker_client.calls if call.startswith("network")][-3:] == [
        "network disconnect kind c-worker",
        "network connect --ip 172.30.0.9 kind c-worker",
        "network connect kind c-worker",
    ]


@pytest.mark.parametrize("own", ["kube-ordeal-c", "kind", "somewhere"])
def test_of_several_networks_the_nodes_own_counts(
    docker_client: FakeDocker, monkeypatch: pytest.MonkeyPatch, own: str
) -> None:
    """An engine lists them by name, and users connect nodes to networks of their own."""
    monkeypatch.setenv("KIND_EXPERIMENTAL_DOCKER_NETWORK", "somewhere")
    there = {name: {"IPAddress": f"172.{i}.0.2"} for i, name in enumerate(sorted(("apps", own)))}
    entry = json.loads(inspected(1).partition("echo '")[2].partition("'")[0])
    entry[0]["NetworkSettings"]["Networks"] = there
    docker_client.install(inspect=f"echo '{json.dumps(entry)}'")
    assert (docker.inspect("c-worker").network, docker.inspect("c-worker").address) == (own, "172.1.0.2")


@pytest.mark.parametrize(("own", "taken"), [("echo abc", "kube-ordeal-c"), ("", "kind")])
def test_a_node_without_any_network_gets_its_clusters(docker_client: FakeDocker, own: str, taken: str) -> None:
    docker_client.install(inspect=inspected(0, network="", status="exited"), network_ls=own or "true")
    docker.power_on("c-worker", "172.30.0.2")
    assert f"network connect --ip 172.30.0.2 {taken} c-worker" in docker_client.calls
    assert docker_client.calls[-1] == "start c-worker"


def test_a_free_address_was_tried_before_it_is_named(docker_client: FakeDocker) -> None:
    docker_client.install(inspect=inspected(1, name=CP), network_inspect=network("172.30.0.0/24", taken="172.30.0.254"))
    assert docker.free_address("c-control-plane") == "172.30.0.253"
    tried = "c-control-plane-tries-address"
    calls = [call for call in docker_client.calls if tried in call and not call.startswith("ps")]
    assert calls == [
        f"create --name {tried} --network kube-ordeal-c --entrypoint true node:1",
        f"network disconnect kube-ordeal-c {tried}",
        f"network connect --ip 172.30.0.253 kube-ordeal-c {tried}",
    ]


def test_a_network_without_a_subnet_of_its_own_is_told_before_any_harm(docker_client: FakeDocker) -> None:
    """As kind itself makes it: the engine shows a subnet, and takes no wishes for it."""
    docker_client.install(
        inspect=inspected(1, network="kind", name=CP),
        ps="echo left",
        network_inspect=network("172.18.0.0/16", "fc00:f853:ccd:e793::/64"),
        network_connect="echo 'user specified IP address is supported only when' >&2; exit 1",
    )
    with pytest.raises(OrdealError, match="the docker network kind gives no container the address that is asked for"):
        docker.free_address("c-control-plane")
    assert docker_client.calls[-1] == "rm --force --volumes c-control-plane-tries-address"
    assert not any("c-control-plane" in call.split() for call in docker_client.calls if call.startswith("network"))


def test_a_trial_that_is_broken_off_while_it_is_made_leaves_no_container(docker_client: FakeDocker) -> None:
    docker_client.install(
        inspect=inspected(1, name=CP),
        network_inspect=network("172.30.0.0/24"),
        ps="echo left",
        create="exit 1",
    )
    with pytest.raises(CommandError):
        docker.free_address("c-control-plane")
    assert docker_client.calls[-1] == f"rm --force --volumes {docker.trial_of('c-control-plane')}"
