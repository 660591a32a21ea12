"""What a node must be made of before anything is done to it. Each finding names the incident that it would lead to."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from chaos.judge.base import Invariant, Judgement, bounds, held, promise, unknown, violated
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

WANTED_HANDLES = 102400  # what the post-mortem set in the end, instead of 1024
INSTANCES_FOR_A_POD = 1  # a containerd shim takes at least one
# A leak of the post-mortem's kind is one kernel cache or more a container: hundreds of kB. What a sound machine shows
# is noise of both signs, well below (docs/figures.md).
SLAB_LIMIT_BYTES = 64 * 1024**2
DISK_LIMIT_BYTES = 64 * 1024**2
INSTANCES_BESIDE = 100  # systemd, kubelet, containerd, and what else runs on a node


@dataclass(frozen=True, slots=True)
class Affected:
    """A range of versions that an incident was due to: `part` below `below` (and at least `at_least`)."""

    part: str
    prefix: str
    below: tuple[int, ...]
    incident: str
    why: str


AFFECTED = (
    Affected(KERNEL, "", (4, 9), "kmem-leak", "kernel memory accounting leaks before Linux 4.9"),
    Affected(
        KUBELET, "v", (1, 14), "pleg-churn", "the kubelet's PLEG can block for ever before 1.14 (pull request 72709)"
    ),
    Affected(
        RUNTIME,
        "docker://",
        (18, 9),
        "kmem-leak",
        "Docker before 18.09 turns kernel memory accounting on for every container",
    ),
)


@promise
def versions_not_affected(affected: Sequence[Affected] = AFFECTED) -> Invariant:
    """No node's kernel, kubelet or runtime is of a version that one of the incidents was due to."""

    def judge(history: History) -> Judgement:
        seen = [o for o in history.of(Observation) if o.name in {a.part for a in affected}]
        if not seen:
            return unknown("no version was read")
        bad: list[str] = []
        proof: list[Record] = []
        for each in seen:
            for one in affected:
                version = _version(each.seen, one.prefix) if one.part == each.name else None
                if version is not None and version < one.below:
                    bad.append(f"{each.subject} has {each.name} {each.seen}: {one.why} (would lead to {one.incident})")
                    proof.append(each)
        unreadable = [
            o for o in seen for a in affected if a.part == o.name and not a.prefix and _version(o.seen, "") is None
        ]
        if bad:
            return violated("; ".join(bad), proof, reason="affected", nodes=len(proof))
        if unreadable:
            return unknown(f"{unreadable[0].name} {unreadable[0].seen!r} is no version", unreadable)
        versions = sorted({f"{o.name} {o.seen}" for o in seen})
        return held(f"no version of an incident: {', '.join(versions)}", checked=len(seen))

    return Invariant("versions-not-affected", judge)


@promise
def no_kernel_memory_limit() -> Invariant:
    """No pod's kernel memory is limited (runc does not since 1.0.0-rc94), and no SLUB failure is in the kernel log."""

    def judge(history: History) -> Judgement:
        facts = _read(history, KernelMemoryLimit.kind, KERNEL_LOG)
        if isinstance(facts, Judgement):
            return facts
        limited = [each for each in history.of(KernelMemoryLimit) if each.limit_bytes is not None]
        failures = [o for o in history.of(Observation) if o.name == SLUB_FAILURE]
        if failures:
            sentence = f"{failures[0].subject} has run out of kernel memory: {failures[0].seen} (this is kmem-leak)"
            return violated(sentence, failures, reason="slub-failure", failures=len(failures))
        if limited:
            sentence = f"{limited[0].node} limits its pods' kernel memory to {limited[0].limit_bytes} bytes (kmem-leak)"
            return violated(sentence, limited, reason="kernel-memory-limited", nodes=len(limited))
        return held(f"no kernel memory limit and no SLUB failure on {len(facts)} nodes", nodes=len(facts))

    return Invariant("no-kernel-memory-limit", judge)


@promise
def storage_driver_sound() -> Invariant:
    """The runtime's snapshotter is none that falls back to a loop device or was dropped from kernels."""
    unsound = {
        "aufs": "a kernel without aufs makes the runtime fall back to another driver",
        "devmapper": "on loop-backed files it never gives space back",
        "devicemapper": "on loop-backed files it never gives space back",
        "native": "it copies every layer for every container",
        "vfs": "it copies every layer for every container",
    }

    def judge(history: History) -> Judgement:
        facts = _read(history, STORAGE)
        if isinstance(facts, Judgement):
            return facts
        drivers = [o for o in history.of(Observation) if o.name == STORAGE]
        backing = {o.subject: o.seen for o in history.of(Observation) if o.name == BACKING}
        bad = [o for o in drivers if o.seen in unsound]
        if bad:
            sentence = f"{bad[0].subject} stores containers by {bad[0].seen}: {unsound[bad[0].seen]} (storage-driver)"
            return violated(sentence, bad, reason="driver", nodes=len(bad))
        said = sorted({f"{o.seen} on {backing.get(o.subject, 'an unknown file system')}" for o in drivers})
        return held(f"{len(drivers)} nodes store containers by {', '.join(said)}", nodes=len(drivers))

    return Invariant("storage-driver-sound", judge)


@promise
def handle_limits(wanted: int = WANTED_HANDLES) -> Invariant:
    """Each daemon may open `wanted` files, or as many as the machine lets it (its hard limit)."""

    def judge(history: History) -> Judgement:
        facts = _read(history, SOFT_HANDLES)
        if isinstance(facts, Judgement):
            return facts
        hard = {s.subject: s.value for s in history.of(Sample) if s.name == HARD_HANDLES}
        soft = [s for s in history.of(Sample) if s.name == SOFT_HANDLES]
        low = [s for s in soft if s.value < min(wanted, hard.get(s.subject, wanted))]
        if low:
            worst = min(low, key=lambda s: s.value)
            return violated(
                f"{worst.subject} may open {worst.value:.0f} files, and could {hard.get(worst.subject, 0):.0f} "
                f"(would lead to nofile-exhausted)",
                low,
                reason="soft-limit",
                lowest=int(worst.value),
            )
        lowest = min(soft, key=lambda s: s.value)
        return held(f"every daemon may open {lowest.value:.0f} files or more", lowest=int(lowest.value))

    return Invariant("handle-limits", judge)


@promise
def inotify_instances() -> Invariant:
    """There are inotify instances for as many pods as the node takes (fs.inotify.max_user_instances)."""

    def judge(history: History) -> Judgement:
        facts = _read(history, INOTIFY)
        if isinstance(facts, Judgement):
            return facts
        pods = {s.subject: s.value for s in history.of(Sample) if s.name == MAX_PODS}
        there = [s for s in history.of(Sample) if s.name == INOTIFY]
        few = [s for s in there if s.value < INSTANCES_FOR_A_POD * pods.get(s.subject, 0) + INSTANCES_BESIDE]
        if few:
            worst = few[0]
            return violated(
                f"{worst.subject} has {worst.value:.0f} inotify instances for {pods.get(worst.subject, 0):.0f} pods "
                f"(would lead to pods that can't start, as in pleg-churn); raise fs.inotify.max_user_instances",
                few,
                reason="too-few",
                lowest=int(worst.value),
            )
        lowest = min(there, key=lambda s: s.value)
        return held(f"every node has {lowest.value:.0f} inotify instances or more", lowest=int(lowest.value))

    return Invariant("inotify-instances", judge)


@promise
@bounds(within_s="spread_ms")
def clocks_agree(within_s: float) -> Invariant:
    """No two nodes' clocks differ by more than `within_s` seconds."""

    def judge(history: History) -> Judgement:
        facts = _read(history, CLOCK)
        if isinstance(facts, Judgement):
            return facts
        clocks = sorted((s for s in history.of(Sample) if s.name == CLOCK), key=lambda s: s.value)
        spread_s = clocks[-1].value - clocks[0].value
        figures = {"spread_ms": round(1000 * spread_s, 1), "nodes": len(clocks)}
        said = f"the clocks of {clocks[0].subject} and {clocks[-1].subject} differ by {1000 * spread_s:.0f} ms"
        if spread_s > within_s:
            sentence = f"{said}, allowed are {1000 * within_s:.0f} ms (would lead to mysql-clock, and to false leases)"
            return violated(sentence, (clocks[0], clocks[-1]), reason="clock", **figures)
        return held(f"{said} at the most, allowed are {1000 * within_s:.0f} ms", **figures)

    return Invariant("clocks-agree", judge)


@promise
@bounds(limit_bytes_per_200="grown_bytes_per_200")
def slab_does_not_grow(limit_bytes_per_200: int = SLAB_LIMIT_BYTES) -> Invariant:
    """Unreclaimable kernel memory grows by at most so many bytes for 200 container starts."""
    return _grows_at_most(SLAB, "slab-does-not-grow", limit_bytes_per_200, "kmem-leak")


@promise
@bounds(limit_bytes_per_200="grown_bytes_per_200")
def disk_does_not_grow(limit_bytes_per_200: int = DISK_LIMIT_BYTES) -> Invariant:
    """The container runtime's and the kubelet's files grow by at most so many bytes for 200 container starts."""
    return _grows_at_most(RUNTIME_DISK, "disk-does-not-grow", limit_bytes_per_200, "storage-driver")


def _grows_at_most(fact: str, name: str, limit_bytes_per_200: int, incident: str) -> Invariant:
    """What is measured as `fact` grows by at most so many bytes for 200 container starts.

    A total, and no trend: what the first starts take once, such as caches, is a small part of the limit, and need not
    have settled before. Needs a Sample `fact` of the node before the starts and one after them, and a Sample
    containers-started between.
    """

    def judge(history: History) -> Judgement:
        missing = [each for each in history.of(Unreadable) if each.fact == fact]
        sizes = [s for s in history.of(Sample) if s.name == fact]
        started = [s for s in history.of(Sample) if s.name == STARTED]
        if missing or len(sizes) < 2 or not started:
            why = missing[0].why if missing else f"{len(sizes)} of 2 sizes, {len(started)} rounds of starts"
            return unknown(f"{fact} was not measured before and after the starts: {why}", missing)
        starts = int(sum(s.value for s in started))
        grown = int(sizes[-1].value - sizes[0].value)
        per_200 = round(grown * 200 / starts)
        figures = {"starts": starts, "grown_bytes": grown, "grown_bytes_per_200": per_200}
        said = (
            f"{fact} of {sizes[-1].subject} grew by {grown / 1e6:.2f} MB in {starts} container starts, "
            f"{per_200 / 1e6:.2f} MB per 200; allowed are {limit_bytes_per_200 / 1e6:.2f} MB"
        )
        if per_200 > limit_bytes_per_200:
            return violated(f"{said} (this is {incident})", (sizes[0], sizes[-1]), reason="grows", **figures)
        return held(said, **figures)

    return Invariant(name, judge)


def _read(history: History, *facts: str) -> Judgement | set[str]:
    """The nodes that the facts were read of; unknown where one could not be, or none was."""
    unreadable = [each for each in history.of(Unreadable) if each.fact in facts]
    if unreadable:
        first = unreadable[0]
        return unknown(f"{first.object} can't be read: {first.why}", unreadable)
    nodes = {record.object.partition("/")[0] for record in _of(history, facts)}
    return nodes or unknown(f"{' and '.join(facts)} was read of no node")


def _of(history: History, facts: Iterable[str]) -> list[Record]:
    wanted = set(facts)
    found: list[Record] = [o for o in history.of(Observation) if o.name in wanted]
    found += [s for s in history.of(Sample) if s.name in wanted]
    return [*found, *history.of(KernelMemoryLimit)] if KernelMemoryLimit.kind in wanted else found


_NUMBERS = re.compile(r"(\d+)\.(\d+)")


def _version(text: str, prefix: str) -> tuple[int, ...] | None:
    """Major and minor of a version behind `prefix`; None where it has another one."""
    if not text.startswith(prefix):
        return None
    found = _NUMBERS.match(text.removeprefix(prefix))
    return None if found is None else (int(found[1]), int(found[2]))
