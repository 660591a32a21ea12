"""Images on nodes: by a pipe, one archive for all that lack the same, and only what they lack."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from chaos.clusters.kind import node_images
from chaos.clusters.kind.node_images import load, load_as
from chaos.hosts.go import goarch
from tests.hosts.fake_docker import FakeDocker

OURS = {"far/agnhost:2": "localhost/ours/agnhost:1", "far/busybox:1": "localhost/ours/busybox:1"}
LS = "images ls"
HEADER = "REF TYPE DIGEST SIZE PLATFORMS LABELS"
NAME = "docker.io/library/busybox:1.37"


class Nodes:
    """What each node has, by name and digest; what is poured into it is there afterwards."""

    def __init__(self, **there: dict[str, str]) -> None:
        self.there = there
        self.ran: list[tuple[str, ...]] = []

    def images(self, node: str) -> dict[str, Any]:
        return {name: node_images._Image(name, "", digest) for name, digest in self.there[node].items()}

    def pour(self, source: Sequence[str], sinks: Sequence[Sequence[str]], **_: object) -> None:
        saved = tuple(source[source.index("save") + 1 :])
        self.ran.append(("save", *saved))
        for sink in sinks:
            node = sink[sink.index("--interactive") + 1]
            self.ran.append(("load", node))
            self.there[node] |= {image: f"digest of {image}" for image in saved}

    def ctr(self, node: str, *argv: str) -> None:
        _images, _tag, _force, ours, name = argv
        self.there[node][name] = self.there[node][ours]


@pytest.fixture
def nodes(monkeypatch: pytest.MonkeyPatch, docker_client: FakeDocker) -> Nodes:
    assert docker_client.client
    made = Nodes(w1={}, w2={})
    monkeypatch.setattr(node_images, "_images", made.images)
    monkeypatch.setattr(node_images, "pour", made.pour)
    monkeypatch.setattr(node_images, "_ctr", made.ctr)
    return made


def test_nodes_that_lack_the_same_get_one_archive_and_the_names(nodes: Nodes) -> None:
    load_as(["w1", "w2"], OURS)
    assert [kind for kind, *_ in nodes.ran] == ["save", "load", "load"]
    for there in nodes.there.values():
        assert {name: there[name] for name in OURS} == {name: there[ours] for name, ours in OURS.items()}


def test_a_second_time_nothing_is_done(nodes: Nodes) -> None:
    load_as(["w1", "w2"], OURS)
    nodes.ran.clear()
    load_as(["w1", "w2"], OURS)
    assert not nodes.ran


def test_another_image_of_that_name_is_replaced(nodes: Nodes) -> None:
    load_as(["w1"], OURS)
    nodes.there["w1"]["far/agnhost:2"] = "digest of another one"
    nodes.ran.clear()
    load_as(["w1"], OURS)
    assert not nodes.ran
    assert nodes.there["w1"]["far/agnhost:2"] == "digest of localhost/ours/agnhost:1"


def a_node(*listed: str) -> str:
    lines = "".join(f"{line}\\n" for line in (HEADER, *listed))
    return f"""case "$*" in *'{LS}'*) printf '{lines}' ;; *) cat >>"$0.imported" ;; esac"""


def loaded(made: FakeDocker) -> list[str]:
    return [call for call in made.calls if " images import " in call]


@pytest.mark.parametrize(
    ("engines", "listed"),
    [
        # Where the engine keeps images as the node does it is the manifest's digest, else the configuration's.
        ("sha256:aa", [f"{NAME} application/vnd.oci.image.index.v1+json sha256:aa 1 MiB linux/amd64 -"]),
        (
            "sha256:cc",
            [
                f"{NAME} application/vnd.docker.distribution.manifest.v2+json sha256:bb 1 MiB linux/amd64 -",
                "sha256:cc application/vnd.docker.distribution.manifest.v2+json sha256:bb 1 MiB linux/amd64 -",
            ],
        ),
    ],
)
def test_a_node_that_has_the_image_is_left_alone(docker_client: FakeDocker, engines: str, listed: list[str]) -> None:
    docker_client.install(image_inspect=f"echo {engines}", exec=a_node(*listed))
    load(["w1"], "busybox:1.37")
    assert loaded(docker_client) == []


@pytest.mark.parametrize(
    "listed",
    [
        [],
        [f"{NAME} x sha256:old 1 MiB linux/amd64 -"],
        ["docker.io/library/other:1 x sha256:aa 1 MiB linux/amd64 -"],
    ],
)
def test_one_that_lacks_it_gets_it_by_a_pipe_for_its_platform_alone(
    docker_client: FakeDocker, listed: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A confined client writes no file that this process sees, and an archive may name platforms that it lacks."""
    monkeypatch.setenv("TMPDIR", str(tmp_path / "small"))
    (tmp_path / "small").mkdir()
    save = 'case "$*" in *--output*|*-o*) echo "invalid output path" >&2; exit 1 ;; *) echo archive ;; esac'
    docker_client.install(image_inspect="echo sha256:aa", exec=a_node(*listed), save=save)
    load(["w1", "w2"], "busybox:1.37")
    importing = f"ctr --namespace k8s.io images import --platform linux/{goarch()} -"
    assert sorted(loaded(docker_client)) == [f"exec --interactive {node} {importing}" for node in ("w1", "w2")]
    assert docker_client.calls.count("save busybox:1.37") == 1
    assert Path(f"{docker_client.client}.imported").read_text() == "archive\n" * 2
