"""Putting images back on a node; the node's `ctr` is a fake."""

import io
import json
import tarfile
from collections.abc import Sequence

import pytest

from chaos.clusters.kind import docker, node_images
from chaos.errors import OrdealError
from chaos.hosts.command import Output
from tests.hosts.fake_docker import FakeDocker

TYPE = "application/vnd.oci.image.manifest.v1+json"


class Nodes:
    """The images of two nodes by name, and what is in their content stores by digest."""

    def __init__(self) -> None:
        self.images = {"w1": {"a:1": "sha256:aa", "b:1": "sha256:bb"}, "cp": {"a:1": "sha256:aa", "b:1": "sha256:bb"}}
        self.content = {"w1": {"sha256:aa": "{}"}, "cp": {"sha256:aa": "{}", "sha256:bb": "{ }"}}
        self.labelled: list[str] = []
        self.copied: list[str] = []

    def execute(self, node: str, argv: Sequence[str], *, timeout_s: float, check: bool, stdin: str | None) -> Output:
        match argv[3:]:
            case ["images", "ls"]:
                lines = [f"{name} {TYPE} {digest} 1.0 MiB linux/amd64 -" for name, digest in self.images[node].items()]
                lines += [f"sha256:cc {TYPE} sha256:aa 1.0 MiB linux/amd64 -"]
                return Output(0, "\n".join(["REF TYPE DIGEST SIZE PLATFORMS LABELS", *lines]), "")
            case ["content", "ls", "--quiet"]:
                return Output(0, "\n".join(self.content[node]), "")
            case ["content", "get", digest]:
                return Output(0, self.content[node][digest], "")
            case ["content", "label", digest, label]:
                self.labelled.append(f"{digest} {label}")
                return Output(0, "", "")
            case ["images", "import", "--platform", _, "--no-unpack", "-"]:
                assert stdin is not None
                with tarfile.open(fileobj=io.BytesIO(stdin.encode())) as tar:
                    assert sorted(tar.getnames()) == ["index.json", "oci-layout"]
                    file = tar.extractfile("index.json")
                    assert file is not None
                    for each in json.load(file)["manifests"]:
                        assert each["mediaType"] == TYPE
                        assert each["size"] == len(self.content[node][each["digest"]])
                        self.images[node][each["annotations"]["io.containerd.image.name"]] = each["digest"]
                return Output(0, "", "")
        raise AssertionError(argv)

    def pour(self, source: Sequence[str], sinks: Sequence[Sequence[str]], *, timeout_s: float) -> None:
        names = source[source.index("-") + 1 :]
        assert source[source.index("exec") + 1] == "cp"
        (sink,) = sinks
        self.copied += names
        self.images[sink[sink.index("--interactive") + 1]] |= {name: self.images["cp"][name] for name in names}


@pytest.fixture
def nodes(monkeypatch: pytest.MonkeyPatch, docker_client: FakeDocker) -> Nodes:
    assert docker_client.client
    fake = Nodes()
    monkeypatch.setattr(docker, "execute", fake.execute)
    monkeypatch.setattr(node_images, "pour", fake.pour)
    return fake


def test_names_are_those_that_people_gave(nodes: Nodes) -> None:
    assert node_images.names("w1") == ("a:1", "b:1")


def test_kept_content_is_named_again_and_the_rest_copied(nodes: Nodes) -> None:
    nodes.images["w1"].clear()
    node_images.restore("w1", ["cp"], ["a:1", "b:1"], called="w1")
    assert nodes.images["w1"] == {"a:1": "sha256:aa", "b:1": "sha256:bb"}
    assert nodes.copied == ["b:1"]


def test_what_is_there_is_left_alone(nodes: Nodes) -> None:
    del nodes.images["w1"]["b:1"]
    node_images.restore("w1", ["cp"], ["a:1"], called="w1")
    assert nodes.images["w1"] == {"a:1": "sha256:aa"}
    assert not nodes.copied


def test_an_image_that_no_node_has_is_one_sentence(nodes: Nodes) -> None:
    with pytest.raises(OrdealError, match="node w1 lacks the images c:1, and no other node has them"):
        node_images.restore("w1", ["cp"], ["a:1", "c:1"], called="w1")


def test_each_manifest_is_kept(nodes: Nodes) -> None:
    node_images.keep_content("cp")
    label = "containerd.io/gc.root=kube-ordeal"
    assert sorted(nodes.labelled) == [f"sha256:aa {label}", f"sha256:bb {label}"]
