"""How a kind cluster is made: what it needs of the engine comes first, and what is left of one is found again."""

from pathlib import Path

import pytest

from chaos.clusters import kind, loopfs, networks, pytestkind
from chaos.clusters.base import ClusterRef, Images, Shape
from chaos.clusters.kind import KindCluster, KindSetup
from chaos.clusters.pool import Pool, Wishes
from chaos.clusters.pytestkind import KindTools
from chaos.errors import OrdealError
from chaos.hosts import ready
from chaos.hosts.image import WORKLOAD_IMAGE
from chaos.hosts.ready import kind_setup
from chaos.journal import Journal
from tests.hosts.fake_docker import FakeDocker

TOOLS = KindTools(Path("kind"), Path("kubectl"))
PUBLISHED = KindSetup(TOOLS, "1.34.4", "kindest/node:v1.34.4", Images("busybox:1.37"), cgroup_v1=False)
LIMIT = "echo 'toomanyrequests: You have reached your pull rate limit' >&2; exit 1"
NODES = 'case "$*" in *--format*) echo c-control-plane ;; esac'


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch, docker_client: FakeDocker) -> list[str]:
    """kind itself is not run; what was asked of it is in the list."""
    asked: list[str] = []

    def create(name: str, _kubeconfig: Path, image: str | None, _config: Path, _tools: KindTools, network: str) -> None:
        asked.append(f"{name} of {image} in {network}")

    monkeypatch.setattr(pytestkind, "create", create)
    monkeypatch.setattr(KindCluster, "wait_ready", lambda *_: None)
    monkeypatch.setattr(KindCluster, "identify", lambda _: None)
    monkeypatch.setattr(networks.ranges, "routed", list)
    assert docker_client.client
    return asked


def test_published_images_are_there_before_a_cluster_is_and_are_not_pulled_again(
    docker_client: FakeDocker, made: list[str]
) -> None:
    docker_client.install(image_inspect="echo sha256:aa", pull=LIMIT, ps=NODES, exec="cat >/dev/null", save="echo tar")
    cluster = KindCluster.create("c", Shape(workers=0), PUBLISHED, lambda _: None)
    assert made == ["c of kindest/node:v1.34.4 in kube-ordeal-c"]
    assert not any(call.startswith("pull") for call in docker_client.calls)
    assert "save busybox:1.37" in docker_client.calls
    assert cluster.images == Images("busybox:1.37")


@pytest.mark.parametrize("lacks", ["kindest/node:v1.34.4", "busybox:1.37"])
def test_an_image_that_cannot_be_had_ends_it_before_anything_is_made(
    docker_client: FakeDocker, made: list[str], lacks: str
) -> None:
    docker_client.install(image_inspect=f'case "$*" in *{lacks}) exit 1 ;; esac', pull=LIMIT)
    with pytest.raises(OrdealError, match=rf"the image {lacks} is not on this machine and can't be pulled \(the regis"):
        KindCluster.create("c", Shape(workers=0), PUBLISHED, lambda _: None)
    assert made == []
    assert not any(call.startswith("network create") for call in docker_client.calls)
    assert not kind.home_of("c").exists()


def test_a_node_image_of_ours_has_the_workloads_image_in_it(docker_client: FakeDocker, made: list[str]) -> None:
    docker_client.install(ps=NODES)
    ours = KindSetup(TOOLS, "1.34.4", "kube-ordeal/node:v1.34.4-abc", Images(WORKLOAD_IMAGE), cgroup_v1=False)
    KindCluster.create("c", Shape(workers=0), ours, lambda _: None)
    assert len(made) == 1
    assert not any(call.startswith(("save", "pull")) for call in docker_client.calls)


def test_a_network_alone_is_something_left_and_is_removed(
    docker_client: FakeDocker, monkeypatch: pytest.MonkeyPatch
) -> None:
    docker_client.install(network_ls="echo abc")
    monkeypatch.setattr(loopfs, "_loops", lambda _: [])
    assert kind.exists("c")
    assert kind.only_surroundings_left("c")
    monkeypatch.setattr(pytestkind, "delete", lambda *_: None)
    KindCluster(ClusterRef("kind", "c", ""), Shape(), Images("busybox"), TOOLS).delete()
    assert "network rm kube-ordeal-c" in docker_client.calls


def test_a_cluster_of_somebody_elses_keeps_its_network(docker_client: FakeDocker) -> None:
    docker_client.install(network_ls="echo abc")
    KindCluster(ClusterRef("existing", "c", ""), Shape(), Images("busybox"), None).delete()
    assert docker_client.calls == []


def test_the_users_busybox_is_taken_for_a_cluster_that_is_made(
    docker_client: FakeDocker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ready, "kind_tools", lambda *_: TOOLS)
    docker_client.install(image_inspect="echo sha256:aa")
    assert kind_setup("1.34.4").images == Images("busybox:1.37")
    assert kind_setup("1.34.4", busybox="mirror/busybox:1").images == Images("mirror/busybox:1")
    docker_client.install(image_inspect="exit 1")
    with pytest.raises(OrdealError, match="no node image for Kubernetes 1.34.4 yet: run `kube-ordeal setup --kube"):  # noqa: RUF043
        kind_setup("1.34.4")


def test_a_pool_hands_the_users_images_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[tuple[object, ...]] = []

    def setup(*args: object) -> KindSetup:
        given.append(args)
        return PUBLISHED

    monkeypatch.setattr(ready, "kind_setup", setup)
    monkeypatch.setattr(KindCluster, "create", lambda *_: None)
    with Journal(tmp_path / "journal.jsonl") as journal:
        wishes = Wishes("1.34.4", kind_image="mine/node:1", busybox_image="mine/busybox:1")
        Pool(wishes, journal, "run-abcd", print)._make("kind", "c", Shape())
    assert given == [("1.34.4", "mine/node:1", None, None, "mine/busybox:1")]
