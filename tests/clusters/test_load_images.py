"""Images under other names on nodes: one archive for all that lack the same, and only what they lack."""

from collections.abc import Sequence
from typing import Any

import pytest

from chaos.clusters import node_images
from chaos.clusters.node_images import load_as

OURS = {"far/agnhost:2": "localhost/ours/agnhost:1", "far/busybox:1": "localhost/ours/busybox:1"}


class Nodes:
    """What each node has, by name and digest; what is loaded is there afterwards."""

    def __init__(self, **there: dict[str, str]) -> None:
        self.there = there
        self.ran: list[tuple[str, ...]] = []
        self._saved: tuple[str, ...] = ()

    def images(self, node: str) -> dict[str, Any]:
        return {name: node_images._Image(name, "", digest) for name, digest in self.there[node].items()}

    def run(self, argv: Sequence[str], timeout_s: float = 0) -> None:
        if argv[:2] == ["docker", "save"]:
            self._saved = tuple(argv[4:])
            self.ran.append(("save", *self._saved))
        else:
            for node in argv[6:]:
                self.ran.append(("load", node))
                self.there[node] |= {image: f"digest of {image}" for image in self._saved}

    def ctr(self, node: str, *argv: str) -> None:
        _images, _tag, _force, ours, name = argv
        self.there[node][name] = self.there[node][ours]


@pytest.fixture
def nodes(monkeypatch: pytest.MonkeyPatch) -> Nodes:
    made = Nodes(w1={}, w2={})
    monkeypatch.setattr(node_images, "_images", made.images)
    monkeypatch.setattr(node_images, "run", made.run)
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
