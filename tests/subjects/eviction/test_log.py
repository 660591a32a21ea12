"""What is read out of a kubelet's log, and what becomes of a log that can't be read."""

import json
from collections.abc import Sequence

import pytest

from chaos.basics.waiting import eventually
from chaos.errors import OrdealError
from chaos.hosts.command import Output
from chaos.record.history import History
from chaos.record.records import Blind
from chaos.record.registry import Record
from chaos.subjects.eviction.records import EvictionRanking, ImageRemoved, KubeletEvicted, NoneLeft, Reclaims
from chaos.subjects.eviction.sampler import EvictionLog, said, source_of

HEAD = "I1121 13:02:42.757343    5893 eviction_manager.go:405] "


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (
            '"Eviction manager: pods ranked for eviction" pods=["a/eater-1","b/web-1"]',
            EvictionRanking(1.5, "w", ("a/eater-1", "b/web-1")),
        ),
        ('"Eviction manager: pod is evicted successfully" pod="a/eater-1"', KubeletEvicted(1.5, "w", "a/eater-1")),
        (
            '"Eviction manager: attempting to reclaim" resourceName="ephemeral-storage"',
            Reclaims(1.5, "w", "ephemeral-storage"),
        ),
        ('"Eviction manager: unable to evict any pods from the node"', NoneLeft(1.5, "w", "unable to evict any pods")),
        (
            '"Eviction manager: eviction thresholds have been met, but no pods are active to evict"',
            NoneLeft(1.5, "w", "no pods are active"),
        ),
        (
            '"Removing image to free bytes" imageID="sha256:1" size=2 runtimeHandler=""',
            ImageRemoved(1.5, "w", "sha256:1"),
        ),
        ('"Eviction manager: cannot evict a critical pod" pod="kube-system/kube-proxy"', None),
        ("anything else", None),
    ],
)
def test_a_line_of_the_log(message: str, expected: Record | None) -> None:
    assert said(HEAD + message, 1.5, "w") == expected


class Journal:
    """A node whose journal is this list; it answers as journalctl does."""

    def __init__(self) -> None:
        self.lines: list[dict[str, str]] = []
        self.away = False

    def write(self, message: str, monotonic_s: float) -> None:
        stamp = f"{monotonic_s * 1e6:.0f}"
        self.lines.append({"__CURSOR": str(len(self.lines)), "MESSAGE": message, "__MONOTONIC_TIMESTAMP": stamp})

    def node_exec(
        self, node: str, argv: Sequence[str], *, timeout_s: float = 30.0, check: bool = True, stdin: str | None = None
    ) -> Output:
        if self.away:
            raise OrdealError("the node does not answer\nnot at all")
        after = next((int(a.partition("=")[2]) for a in argv if a.startswith("--after-cursor=")), -1)
        return Output(0, "\n".join(json.dumps(line) for line in self.lines[after + 1 :]), "")


EVICTION = '"Eviction manager: pod is evicted successfully" pod="a/eater-1"'


def test_each_line_is_recorded_once_at_its_own_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chaos.subjects.eviction.sampler.EVERY_S", 0.01)
    journal, history = Journal(), History()
    journal.write(EVICTION, history.began - 0.5)  # the journal is asked for a little more
    journal.write(EVICTION, history.began + 1.5)
    with EvictionLog(history, journal, "worker"):
        eventually(lambda: history.of(KubeletEvicted), within_s=10, what="the first line")
        journal.write("something else", history.began + 2)
        journal.away = True
        journal.write(EVICTION, history.began + 2.5)
        journal.away = False
    assert [(round(e.at, 3), e.node) for e in history.of(KubeletEvicted)] == [(1.5, "worker"), (2.5, "worker")]
    assert all(blind.complete for blind in history.of(Blind))


def test_a_log_that_cannot_be_read_until_the_end_is_a_blindness(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chaos.subjects.eviction.sampler.EVERY_S", 0.01)
    journal, history = Journal(), History()
    journal.away = True
    with EvictionLog(history, journal, "worker"):
        pass
    (blind,) = history.of(Blind)
    assert (blind.source, blind.why, blind.complete) == (source_of("worker"), "the node does not answer", False)
