"""How a kind cluster is made: what it needs of the engine comes first, and what is left of one is found again."""

from pathlib import Path

import pytest

from chaos.clusters.base import ClusterRef, Images
from chaos.clusters.kind import loopfs, pytestkind, ready
from chaos.clusters.kind.cluster import KindCluster
from chaos.clusters.kind.config import KindSetup
from chaos.clusters.kind.home import exists, home_of, only_surroundings_left
from chaos.clusters.kind.pytestkind import KindTools
from chaos.clusters.kind.ready import kind_setup
from chaos.clusters.shape import Shape
from chaos.errors import OrdealError
from chaos.hosts import ranges
from chaos.hosts.image_build import WORKLOAD_IMAGE
from chaos.record.journal import Journal
from chaos.run.pool import Pool, Wishes
from tests.hosts.fake_docker import FakeDocker
from tests.hosts.published import DIGEST, publish

TOOLS = KindTools(Path("kind"), Path("kubectl"))
NODE, BUSYBOX = f"kindest/node@{DIGEST}", f"busybox@{DIGEST}"
LOADED = f"localhost/kube-ordeal-published/busybox:{DIGEST.replace(':', '-')}"
PUBLISHED = KindSetup(TOOLS, "1.34.4", NODE, Images(BUSYBOX), cgroup_v1=False)
LIMIT = "echo 'toomanyrequests: You have reached your pull rate limit' >&2; exit 1"
NODES = 'case "$*" in *--format*) echo c-control-plane 1 control-plane ;; esac'


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch, docker_client: FakeDocker) -> list[str]:
    """kind itself is not run; what was asked of it is in the list."""
    asked: list[str] = []

    def create(name: str, _kubeconfig: Path, image: str | None, _config: Path, _tools: KindTools, network: str) -> None:
        asked.append(f"{name} of {image} in {network}")

    monkeypatch.setattr(pytestkind, "create", create)
    monkeypatch.setattr(KindCluster, "wait_ready", lambda *_: None)
    monkeypatch.setattr(KindCluster, "identify", lambda _: None)
    monkeypatch.setattr(ranges, "routed", list)
    assert docker_client.client
    return asked


def test_published_images_are_there_before_a_cluster_is_and_are_not_pulled_again(
    docker_client: FakeDocker, made: list[str]
) -> None:
    docker_client.install(image_inspect="echo sha256:aa", pull=LIMIT, ps=NODES, exec="cat >/dev/null", save="echo tar")
    cluster = KindCluster.create("c", Shape(workers=0), PUBLISHED, lambda _: None)
    assert made == [f"c of {NODE} in kube-ordeal-c"]
    assert not any(call.startswith("pull") for call in docker_client.calls)
    assert docker_client.calls.index(f"tag {BUSYBOX} {LOADED}") < docker_client.calls.index(f"save {LOADED}")
    assert cluster.images == Images(LOADED)  # what pods are told is what the nodes were given


def test_what_the_engine_pulled_is_among_the_facts(docker_client: FakeDocker, monkeypatch: pytest.MonkeyPatch) -> None:
    docker_client.install(
        inspect='case "$*" in *Config.Image*) echo mine/node:1 ;; *) echo sha256:aa ;; esac',
        image_inspect="""case "$*" in *sha256:aa) echo '["mine/node@sha256:bb"] sha256:aa' ;; *) exit 1 ;; esac""",
        ps=NODES,
    )
    monkeypatch.setattr(KindCluster, "kubernetes", "1.34.4")
    monkeypatch.setattr(KindCluster, "container_runtime", lambda *_: "containerd://2")
    ref = ClusterRef("kind", "c", "")
    facts = KindCluster(ref, Shape(workers=0), Images("busybox:1"), TOOLS).facts()
    images = {name: value for name, value in facts.items() if "image" in name}
    assert images == {"node image": "mine/node:1", "node image is": "mine/node@sha256:bb", "busybox image": "busybox:1"}


@pytest.mark.parametrize("lacks", [NODE, BUSYBOX])
def test_an_image_that_cannot_be_had_ends_it_before_anything_is_made(
    docker_client: FakeDocker, made: list[str], lacks: str
) -> None:
    docker_client.install(image_inspect=f'case "$*" in *{lacks}) exit 1 ;; esac', pull=LIMIT)
    with pytest.raises(OrdealError, match=rf"the image {lacks} is not on this machine and can't be pulled \(the regis"):
        KindCluster.create("c", Shape(workers=0), PUBLISHED, lambda _: None)
    assert made == []
    assert not any(call.startswith("network create") for call in docker_client.calls)
    assert not home_of("c").exists()


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
    assert exists("c")
    assert only_surroundings_left("c")
    monkeypatch.setattr(pytestkind, "delete", lambda *_: None)
    KindCluster(ClusterRef("kind", "c", ""), Shape(), Images("busybox"), TOOLS).delete()
    assert "network rm kube-ordeal-c" in docker_client.calls


def test_a_cluster_of_somebody_elses_keeps_its_network(docker_client: FakeDocker) -> None:
    docker_client.install(network_ls="echo abc")
    KindCluster(ClusterRef("existing", "c", ""), Shape(), Images("busybox"), None).delete()
    assert docker_client.calls == []


def test_the_users_busybox_is_taken_for_a_cluster_that_is_made(
    docker_client: FakeDocker, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(ready, "kind_tools", lambda *_: TOOLS)
    known = publish(tmp_path, monkeypatch, "kindest/node:v1.34.4", "busybox:latest")
    docker_client.install(image_inspect="echo sha256:aa")
    assert kind_setup("1.34.4").node_image == NODE
    assert kind_setup("1.34.4").images == Images(BUSYBOX)
    assert kind_setup("1.34.4", busybox="mirror/busybox:1").images == Images("mirror/busybox:1")
    known.write_text("")
    assert kind_setup("1.34.4", "mine/node:1", busybox="mirror/busybox:1").node_image == "mine/node:1"
    with pytest.raises(OrdealError, match=r"busybox:latest is not taken, .*: name an image .* --ordeal-busybox-image"):
        kind_setup("1.34.4", "mine/node:1")
    with pytest.raises(OrdealError, match=r"no node image for Kubernetes 1\.34\.4 yet"):  # whatever has that tag here
        kind_setup("1.34.4")
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
