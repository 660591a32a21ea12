"""An upgrade in place: which versions it goes through, and what is done to the kubelets' configuration."""

import threading
from collections.abc import Sequence
from typing import Any

import pytest
import yaml

from chaos.errors import OrdealError
from chaos.hosts.command import Output
from chaos.record.history import History
from chaos.subjects.upgrade.kubeadm import Apply, path, with_settings
from chaos.subjects.upgrade.records import ApplyBegun, ApplyEnded, ManifestPlaced

BUILT = ("1.34.4", "1.35.2", "1.35.10", "1.36.3")


@pytest.mark.parametrize(
    ("start", "to", "most", "expected"),
    [
        ("1.34.4", "", 1, ("1.35.10",)),
        ("1.34.4", "", 2, ("1.35.10", "1.36.3")),
        ("1.34.4-eks-a737599", "", 1, ("1.35.10",)),
        ("1.34.4", "", 5, ("1.35.10", "1.36.3")),
        ("1.34.4", "1.36.3", 1, ("1.35.10", "1.36.3")),
        ("1.34.4", "v1.35.2", 2, ("1.35.2",)),
        ("1.35.2", "1.35.10", 1, ("1.35.10",)),
        ("1.35.10", "", 2, ("1.36.3",)),
    ],
)
def test_it_goes_one_minor_version_at_a_time(start: str, to: str, most: int, expected: tuple[str, ...]) -> None:
    assert path(start, BUILT, to=to, most=most) == expected


@pytest.mark.parametrize(
    ("start", "built", "to", "says"),
    [
        ("1.36.3", BUILT, "", "from 1.36.3 goes to 1.37, and no node image of 1.37 is built here"),
        ("1.34.4", ("1.34.4", "1.36.3"), "", "image build --kubernetes 1.35.PATCH"),
        ("1.34.4", ("1.34.4", "1.36.3"), "1.36.3", "goes to 1.35, and no node image of 1.35"),
        ("1.34.4", BUILT, "1.36.1", "image build --kubernetes 1.36.1"),
        ("1.34.4", BUILT, "1.34.4", "is no upgrade: the cluster is made with 1.34.4"),
        ("1.34.4", BUILT, "1.33.6", "is no upgrade"),
        ("1.34.4", BUILT, "newest", "'newest' is not a version"),
    ],
)
def test_what_cannot_be_reached_is_a_sentence(start: str, built: tuple[str, ...], to: str, says: str) -> None:
    with pytest.raises(OrdealError, match=says):
        path(start, built, to=to, most=2)


def test_settings_are_put_into_the_configuration_that_is_there() -> None:
    config = "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\nmaxPods: 600\n"
    made = yaml.safe_load(with_settings(config, [{"apiVersion": "x", "kind": "y", "failCgroupV1": False}]))
    assert made == {**yaml.safe_load(config), "failCgroupV1": False}


class Node:
    """A control-plane node whose kubeadm ends with an exit code once it is told to; its manifests are new from then."""

    def __init__(self, code: int, *, new: bool = False, words: str = "") -> None:
        self.code, self.new, self.words = code, new, words
        self.end = threading.Event()

    def node_exec(self, node: str, argv: Sequence[str], **_options: Any) -> Output:
        line = " ".join(argv)
        if "kubeadm upgrade apply" in line:
            self.end.wait(20)
            return Output(self.code, "", "")
        if argv[0] == "tail":
            return Output(0 if self.words else 1, self.words, "")
        return Output(0 if self.new else 1, "", "")


class TestApply:
    def begun(self, node: Any) -> tuple[Apply, History]:
        history = History()
        return Apply(node, history, "cp", "1.35.4"), history

    def seen(self, history: History) -> list[tuple[type, str]]:
        return [(type(each), each.told()) for each in history.told()]

    def test_its_middle_is_told_apart_from_its_end(self) -> None:
        node = Node(0, new=True)
        apply, history = self.begun(node)
        apply.wait_for_manifest("kube-apiserver", within_s=20)
        node.end.set()
        assert apply.wait()
        assert self.seen(history) == [
            (ApplyBegun, "1.35.4"), (ManifestPlaced, "kube-apiserver 1.35.4"), (ApplyEnded, "1.35.4 succeeded"),
        ]  # fmt: skip

    @pytest.mark.parametrize(
        ("node", "says"),
        [
            (Node(1, words="[preflight] not healthy\nerror: etcd\n"), "exit 1: [preflight] not healthy / error: etcd"),
            (Node(137), "exit 137: nobody is left to ask why"),
        ],
    )
    def test_one_that_fails_says_why(self, node: Node, says: str) -> None:
        node.end.set()
        apply, history = self.begun(node)
        assert not apply.wait()
        assert self.seen(history)[-1] == (ApplyEnded, f"1.35.4 {says}")

    def test_one_that_ended_has_no_middle_to_be_cut_short_in(self) -> None:
        node = Node(0, new=True)
        node.end.set()
        apply, history = self.begun(node)
        apply.wait()
        with pytest.raises(OrdealError, match="ended before kube-apiserver was upgraded"):
            apply.wait_for_manifest("kube-apiserver", within_s=20)
        assert not history.of(ManifestPlaced)
