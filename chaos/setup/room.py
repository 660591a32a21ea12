"""Room on the disks, before a run makes anything: what it will need, and whether it is there."""

from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from pathlib import Path

from chaos.clusters.base import KIND, SIMULATED
from chaos.errors import OrdealError
from chaos.hosts import engine
from chaos.hosts.disk import GIB, Disk, gib, look_at_all
from chaos.hosts.places import state_path

MIB = 2**20
# Measured: 3 to 6 MB of histories and evidence for a replay on three kind nodes, 0.2 MB on a simulated cluster, and a
# page of 6 to 10 MB (chaos.report.html keeps within that).
REPLAY_BYTES, PAGE_BYTES = 10 * MIB, 30 * MIB
KIND_BYTES = 3 * GIB  # a cluster of three nodes (docs/machine.md)
SIMULATED_BYTES = 1 * GIB  # etcd with its quota, logs, kubeconfigs
TOO_LITTLE = 0.5  # of what is needed: figures differ, but not by so much


def look(results: Path, kinds: Collection[str], replays: int) -> tuple[Disk, ...]:
    """What so many replays on clusters of these kinds need, one at a time, and what is free there."""
    needs = [(results, PAGE_BYTES + replays * REPLAY_BYTES)]
    if SIMULATED in kinds:
        needs.append((state_path(), SIMULATED_BYTES))
    if KIND in kinds:
        needs.append((_of_engine(), KIND_BYTES))
    return look_at_all(needs)


def check(disks: Sequence[Disk], report: Callable[[str], None]) -> None:
    """Say what is needed. Raises OrdealError where there is clearly too little."""
    report(f"disk: {'; '.join(map(str, disks))}")
    for disk in disks:
        if disk.free_bytes < TOO_LITTLE * disk.need_bytes:
            raise OrdealError(
                f"there is too little room for this run: {disk}; free {gib(disk.need_bytes - disk.free_bytes)} there "
                "(kube-ordeal results prune, kube-ordeal teardown --cache), or choose another --ordeal-results"
            )


def _of_engine() -> Path:
    """Where the nodes' disks are: the engine's data."""
    with suppress(OrdealError):
        running = engine.find()
        about = engine.info(running) if running is not None else None
        if about is not None and about.here and about.data_root:
            return Path(about.data_root)
    return engine.DATA_ROOT
