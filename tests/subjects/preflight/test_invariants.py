"""What the nodes are made of, judged: each promise kept, broken, and not to be told."""

import pytest

from chaos.judge.base import Invariant, Verdict, judge
from chaos.record.history import History
from chaos.record.nodefacts import (
    BACKING,
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


# --- to the last figure


def test_clocks_at_the_limit_agree_and_the_two_that_do_not_are_proof() -> None:
    facts = [number(CLOCK, offset, f"w{n}") for n, offset in enumerate((0.25, -0.25, 0.125))]
    held = judge(clocks_agree(0.5), History.of_records([*facts, number(SLAB, 9)]))
    assert held.sentence == "the clocks of w1 and w0 differ by 500 ms at the most, allowed are 500 ms"
    assert held.figures == {"spread_ms": 500.0, "nodes": 3}
    broken = judge(clocks_agree(0.25), History.of_records(facts))
    assert broken.sentence == (
        "the clocks of w1 and w0 differ by 500 ms, allowed are 250 ms (would lead to mysql-clock, and to false leases)"
    )
    assert (broken.proof, broken.figures) == ((facts[1], facts[0]), {"spread_ms": 500.0, "nodes": 3})
    unread = judge(clocks_agree(0.5), History.of_records([*facts, unreadable(CLOCK)]))
    assert (unread.sentence, len(unread.proof)) == ("w1/clock-offset-s can't be read: no such file", 1)


def test_storage_says_on_which_file_system_by_node() -> None:
    facts = [seen(STORAGE, "overlayfs"), seen(BACKING, "ext4"), seen(STORAGE, "btrfs", "w2"), seen(KUBELET, "v1", "w2")]
    held = judge(storage_driver_sound(), History.of_records(facts))
    assert held.sentence == "2 nodes store containers by btrfs on an unknown file system, overlayfs on ext4"
    assert held.figures == {"nodes": 2}
    bad = [seen(STORAGE, "aufs"), seen(STORAGE, "vfs", "w2"), seen(STORAGE, "overlayfs", "w3")]
    broken = judge(storage_driver_sound(), History.of_records(bad))
    assert broken.sentence.startswith("w1 stores containers by aufs: a kernel without aufs")
    assert (broken.figures, broken.proof) == ({"nodes": 2}, tuple(bad[:2]))


def test_handles_and_instances_tell_the_lowest() -> None:
    soft = [number(SOFT_HANDLES, value, who) for value, who in ((2048, "w1/a"), (1024, "w1/b"), (9999999, "w1/c"))]
    hard = [number(HARD_HANDLES, 4096, each.subject) for each in soft]
    broken = judge(handle_limits(), History.of_records([*soft, *hard]))
    assert broken.sentence == "w1/b may open 1024 files, and could 4096 (would lead to nofile-exhausted)"
    assert (broken.figures, broken.proof) == ({"lowest": 1024}, tuple(soft[:2]))
    held = judge(handle_limits(1024), History.of_records([*soft, *hard]))
    assert (held.sentence, held.figures) == ("every daemon may open 1024 files or more", {"lowest": 1024})
    unsaid = judge(handle_limits(), History.of_records(soft[1:2]))
    assert unsaid.sentence == "w1/b may open 1024 files, and could 0 (would lead to nofile-exhausted)"
    few = [number(INOTIFY, 210), number(INOTIFY, 209, "w2"), number(INOTIFY, 99, "w3")]
    pods = [number(MAX_PODS, 110), number(MAX_PODS, 110, "w2")]
    lacking = judge(inotify_instances(), History.of_records([*few, *pods]))
    assert lacking.sentence.startswith("w2 has 209 inotify instances for 110 pods")
    assert (lacking.figures, lacking.proof) == ({"lowest": 209}, tuple(few[1:]))
    enough = judge(inotify_instances(), History.of_records([number(INOTIFY, 512), *few[:1], *pods]))
    assert (enough.sentence, enough.figures) == ("every node has 210 inotify instances or more", {"lowest": 210})


def test_kernel_memory_tells_the_first_node_and_how_many() -> None:
    log = number(KERNEL_LOG, 900)
    limits = [KernelMemoryLimit(1.0, "w1", None), KernelMemoryLimit(1.0, "w2", 0), KernelMemoryLimit(1.0, "w3", 9)]
    broken = judge(no_kernel_memory_limit(), History.of_records([*limits, log]))
    assert broken.sentence == "w2 limits its pods' kernel memory to 0 bytes (kmem-leak)"
    assert (broken.figures, broken.proof) == ({"nodes": 2}, tuple(limits[1:]))
    failures = [seen(SLUB_FAILURE, "SLUB: one", "w3"), seen(SLUB_FAILURE, "SLUB: two", "w2")]
    failed = judge(no_kernel_memory_limit(), History.of_records([*limits, log, *failures]))
    assert failed.sentence == "w3 has run out of kernel memory: SLUB: one (this is kmem-leak)"
    assert failed.figures == {"failures": 2}
    held = judge(no_kernel_memory_limit(), History.of_records([limits[0], log]))
    assert (held.sentence, held.figures) == (
        "no kernel memory limit and no SLUB failure on 1 nodes",
        {"nodes": 1},
    )


def test_growth_is_the_last_size_less_the_first_over_all_starts() -> None:
    sizes = [number(SLAB, 1e9), number(SLAB, 5e9, at=1.5), number(SLAB, 1.03e9, at=2.0)]
    starts = [number(STARTED, 40), number(STARTED, 60)]
    held = judge(slab_does_not_grow(60_000_000), History.of_records([*sizes, *starts]))
    assert held.figures == {"starts": 100, "grown_bytes": 30_000_000, "grown_bytes_per_200": 60_000_000}
    assert held.sentence.endswith(
        "of w1 grew by 30.00 MB in 100 container starts, 60.00 MB per 200; allowed are 60.00 MB"
    )
    broken = judge(slab_does_not_grow(59_999_999), History.of_records([*sizes, *starts]))
    assert broken.sentence.endswith("(this is kmem-leak)")
    assert broken.proof == (sizes[0], sizes[2])
    none = judge(slab_does_not_grow(), History.of_records(sizes))
    assert none.sentence.endswith("was not measured before and after the starts: 3 of 2 sizes, 0 rounds of starts")
    one = judge(slab_does_not_grow(), History.of_records([sizes[0], *starts]))
    assert one.sentence.endswith(": 1 of 2 sizes, 2 rounds of starts")
    assert judge(disk_does_not_grow(), History.of_records([*sizes, *starts])).verdict is UNKNOWN


def test_affected_versions_are_each_named_and_counted() -> None:
    facts = [
        seen(KERNEL, "4.8.0"),
        seen(KUBELET, "v1.13.9", "w2"),
        seen(KERNEL, "4.9.0", "w3"),
        seen(KUBELET, "v1.14.0"),
    ]
    broken = judge(versions_not_affected(), History.of_records(facts))
    assert (broken.figures, broken.proof) == ({"nodes": 2}, tuple(facts[:2]))
    assert broken.sentence.startswith("w1 has ")
    assert (
        "4.8.0: kernel memory accounting leaks before Linux 4.9 (would lead to kmem-leak); w2 has " in broken.sentence
    )
    held = judge(versions_not_affected(), History.of_records([facts[2], facts[3], seen(SLAB, "1.0")]))
    assert held.figures == {"checked": 2}
    strange = [seen(KERNEL, "unknown"), seen(KUBELET, "unknown")]
    unread = judge(versions_not_affected(), History.of_records(strange))
    assert (unread.verdict, unread.proof) == (UNKNOWN, (strange[0],))


def test_nodes_are_counted_by_name_and_limits_are_64_mib() -> None:
    logs = [number(KERNEL_LOG, 900), number(KERNEL_LOG, 900, "w2/log")]
    held = judge(no_kernel_memory_limit(), History.of_records([*logs, limit(None)]))
    assert held.figures == {"nodes": 2}
    assert SLAB_LIMIT_BYTES == DISK_LIMIT_BYTES == 67_108_864


@pytest.mark.parametrize(
    ("invariant", "fact"),
    [(handle_limits(), SOFT_HANDLES), (inotify_instances(), INOTIFY), (clocks_agree(0.5), CLOCK)],
)
def test_what_one_node_does_not_tell_is_unknown_however_well_the_others_are(invariant: Invariant, fact: str) -> None:
    well: list[Record] = [number(fact, 1e6, "w2"), unreadable(SLAB)]
    assert judge(invariant, History.of_records(well)).verdict is HELD
    unread = judge(invariant, History.of_records([*well, unreadable(fact)]))
    assert (unread.verdict, unread.proof) == (UNKNOWN, (unreadable(fact),))
