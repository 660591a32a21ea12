"""What the nodes are made of, judged: each promise kept, broken, and not to be told."""

import pytest

from chaos.judge.base import Invariant, Verdict, judge
from chaos.record.history import History
from chaos.record.nodefacts import (
    CLOCK,
    HARD_HANDLES,
    INOTIFY,
    KERNEL,
    KERNEL_LOG,
    KUBELET,
    MAX_PODS,
    RUNTIME,
    RUNTIME_DISK,
    SLAB,
    SLUB_FAILURE,
    SOFT_HANDLES,
    STARTED,
    STORAGE,
)
from chaos.record.records import KernelMemoryLimit, Observation, Sample, Unreadable
from chaos.record.registry import Record
from chaos.subjects.preflight.promises import (
    DISK_LIMIT_BYTES,
    SLAB_LIMIT_BYTES,
    clocks_agree,
    disk_does_not_grow,
    handle_limits,
    inotify_instances,
    no_kernel_memory_limit,
    slab_does_not_grow,
    storage_driver_sound,
    versions_not_affected,
)

HELD, VIOLATED, UNKNOWN = Verdict.HELD, Verdict.VIOLATED, Verdict.UNKNOWN


def seen(name: str, value: str, subject: str = "w1") -> Observation:
    return Observation(1.0, name, subject, value)


def number(name: str, value: float, subject: str = "w1", at: float = 1.0) -> Sample:
    return Sample(at, name, subject, value)


def unreadable(fact: str) -> Unreadable:
    return Unreadable(1.0, "w1", fact, "no such file")


def limit(limit_bytes: int | None) -> KernelMemoryLimit:
    return KernelMemoryLimit(1.0, "w1", limit_bytes)


@pytest.mark.parametrize(
    ("facts", "verdict", "names"),
    [
        ([seen(KERNEL, "6.1.0-13-amd64"), seen(KUBELET, "v1.34.4"), seen(RUNTIME, "containerd://1.6.20")], HELD, ""),
        ([seen(KERNEL, "3.10.0-1160.el7.x86_64")], VIOLATED, "kmem-leak"),
        ([seen(KERNEL, "4.9.0")], HELD, ""),
        ([seen(KERNEL, "4.8.17")], VIOLATED, "kmem-leak"),
        ([seen(KERNEL, "6.1.0"), seen(KUBELET, "v1.12.10")], VIOLATED, "pleg-churn"),
        ([seen(KERNEL, "6.1.0"), seen(KUBELET, "v1.14.0")], HELD, ""),
        ([seen(KERNEL, "6.1.0"), seen(RUNTIME, "docker://1.12.6")], VIOLATED, "kmem-leak"),
        ([seen(KERNEL, "unheard-of")], UNKNOWN, ""),
        ([], UNKNOWN, ""),
    ],
)
def test_versions(facts: list[Observation], verdict: Verdict, names: str) -> None:
    finding = judge(versions_not_affected(), History.of_records(facts))
    assert finding.verdict is verdict, finding.sentence
    assert names in finding.sentence
    assert finding.reason == {VIOLATED: "affected", UNKNOWN: "not-enough-seen"}.get(verdict, "")


@pytest.mark.parametrize(
    ("facts", "verdict", "reason"),
    [
        ([limit(None), number(KERNEL_LOG, 900)], HELD, ""),
        ([limit(1048576), number(KERNEL_LOG, 900)], VIOLATED, "kernel-memory-limited"),
        ([limit(None), seen(SLUB_FAILURE, "SLUB: Unable to allocate memory")], VIOLATED, "slub-failure"),
        ([limit(None), unreadable(KERNEL_LOG)], UNKNOWN, "not-enough-seen"),
        ([], UNKNOWN, "not-enough-seen"),
    ],
)
def test_kernel_memory(facts: list[Record], verdict: Verdict, reason: str) -> None:
    finding = judge(no_kernel_memory_limit(), History.of_records(facts))
    assert (finding.verdict, finding.reason) == (verdict, reason)


@pytest.mark.parametrize(
    ("driver", "verdict"),
    [("overlayfs", HELD), ("devmapper", VIOLATED), ("aufs", VIOLATED), ("native", VIOLATED)],
)
def test_storage_driver(driver: str, verdict: Verdict) -> None:
    assert judge(storage_driver_sound(), History.of_records([seen(STORAGE, driver)])).verdict is verdict


def test_a_storage_driver_that_cannot_be_read_is_unknown() -> None:
    facts: list[Record] = [seen(STORAGE, "overlayfs", "w2"), unreadable(STORAGE)]
    assert judge(storage_driver_sound(), History.of_records(facts)).verdict is UNKNOWN


@pytest.mark.parametrize(
    ("soft", "hard", "verdict"),
    [
        (102400, 1048576, HELD),
        (20000, 20000, HELD),  # as many as the machine lets it
        (1024, 524288, VIOLATED),
        (19999, 20000, VIOLATED),
    ],
)
def test_handle_limits(soft: float, hard: float, verdict: Verdict) -> None:
    facts = [number(SOFT_HANDLES, soft, "w1/kubelet"), number(HARD_HANDLES, hard, "w1/kubelet")]
    finding = judge(handle_limits(), History.of_records(facts))
    assert finding.verdict is verdict
    assert ("nofile-exhausted" in finding.sentence) == (verdict is VIOLATED)


@pytest.mark.parametrize(("instances", "pods", "verdict"), [(8192, 600, HELD), (128, 110, VIOLATED), (210, 110, HELD)])
def test_inotify(instances: float, pods: float, verdict: Verdict) -> None:
    facts = [number(INOTIFY, instances), number(MAX_PODS, pods)]
    assert judge(inotify_instances(), History.of_records(facts)).verdict is verdict


@pytest.mark.parametrize(("offsets", "verdict"), [((0.001, -0.2, 0.299), HELD), ((-0.3, 0.3), VIOLATED), ((), UNKNOWN)])
def test_clocks(offsets: tuple[float, ...], verdict: Verdict) -> None:
    facts = [number(CLOCK, offset, f"w{n}") for n, offset in enumerate(offsets)]
    assert judge(clocks_agree(0.5), History.of_records(facts)).verdict is verdict


@pytest.mark.parametrize(
    ("fact", "invariant", "limit"),
    [(SLAB, slab_does_not_grow(), SLAB_LIMIT_BYTES), (RUNTIME_DISK, disk_does_not_grow(), DISK_LIMIT_BYTES)],
)
def test_growth_is_counted_for_200_starts(fact: str, invariant: Invariant, limit: float) -> None:
    def grown(by: float, starts: float) -> History:
        return History.of_records([number(fact, 1e9), number(STARTED, starts), number(fact, 1e9 + by, at=2.0)])

    assert judge(invariant, grown(limit, 200)).verdict is HELD
    assert judge(invariant, grown(limit / 2, 100)).verdict is HELD
    assert judge(invariant, grown(-limit, 200)).verdict is HELD
    found = judge(invariant, grown(limit / 2 + 1e5, 100))
    assert (found.verdict, found.reason) == (VIOLATED, "grows")
    once = History.of_records([number(fact, 1e9), number(STARTED, 200)])
    assert judge(invariant, once).verdict is UNKNOWN
    unread = History.of_records([number(fact, 1e9), number(STARTED, 200), unreadable(fact)])
    assert judge(invariant, unread).verdict is UNKNOWN
