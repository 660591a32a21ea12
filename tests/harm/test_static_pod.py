"""A static pod's file without a cluster: refused, written whole, taken away."""

import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml

from chaos.clusters.base import KIND, ClusterRef, Images, Node
from chaos.errors import OrdealError
from chaos.harm import static_pod
from chaos.harm.static_pod import PlaceStaticPod
from chaos.hosts.command import Output


class OneNode:
    """A worker whose folder of manifests is a folder of the test's; its commands are run here."""

    ref, images = ClusterRef(KIND, "fake", "kubeconfig"), Images("busybox")

    def nodes(self) -> tuple[Node, ...]:
        return tuple(Node(name, name == "cp", "True", "", "", ()) for name in ("cp", "w1"))

    def node_exec(
        self, node: str, argv: Sequence[str], *, timeout_s: float = 30.0, check: bool = True, stdin: str | None = None
    ) -> Output:
        done = subprocess.run(list(argv), capture_output=True, text=True, check=check)
        return Output(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(static_pod, "MANIFESTS", str(tmp_path))
    monkeypatch.setattr(static_pod, "_mirror", lambda *_: None)
    return tmp_path


def test_its_file_is_written_and_taken_away(folder: Path) -> None:
    cluster, fault = OneNode(), PlaceStaticPod("w1", "sleeper")
    saved = fault.plan(cluster)  # type: ignore[arg-type]
    fault.undo(cluster, saved)  # type: ignore[arg-type]
    fault.apply(cluster, saved)  # type: ignore[arg-type]
    assert [each.name for each in folder.iterdir()] == ["sleeper.yaml"]
    pod = yaml.safe_load((folder / "sleeper.yaml").read_text())
    assert (pod["metadata"]["namespace"], pod["spec"]["containers"][0]["image"]) == ("kube-system", "busybox")
    assert not fault.undone(cluster, saved)  # type: ignore[arg-type]
    with pytest.raises(OrdealError, match="has a static pod sleeper already"):
        fault.plan(cluster)  # type: ignore[arg-type]
    (folder / ".kube-ordeal").touch()  # of a write that was cut short
    for _ in range(2):
        fault.undo(cluster, saved)  # type: ignore[arg-type]
    assert fault.undone(cluster, saved)  # type: ignore[arg-type]
    assert not list(folder.iterdir())


@pytest.mark.parametrize(("node", "sentence"), [("w9", "there is no node w9"), ("cp", "is a control plane")])
def test_another_node_is_refused(folder: Path, node: str, sentence: str) -> None:
    with pytest.raises(OrdealError, match=sentence):
        PlaceStaticPod(node).plan(OneNode())  # type: ignore[arg-type]
