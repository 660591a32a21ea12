"""A fault that is done and taken back as it must be; and a run in a process of its own, made to be killed.

The process injects one fault into a cluster, holds it until its input ends, and takes it back:
python -m tests.integration.harm CLUSTER_JSON FAULT_KIND FAULT_JSON RUN
"""

import json
import select
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import msgspec

from chaos.clusters.base import Cluster, ClusterRef
from chaos.harm import load_all
from chaos.harm.base import Fault, inject, registered
from chaos.hosts.image_build import WORKLOAD_IMAGE
from chaos.hosts.places import journals_dir
from chaos.record.history import History
from chaos.record.journal import Journal
from chaos.record.records import THERE, FaultStep, HarmLook
from chaos.run.pool import attach

LONGEST_S = 120.0  # of one that is not killed, though it was made for that


def fault_of(kind: str, arguments: Mapping[str, Any]) -> Any:
    """The fault of that kind with arguments as JSON has them: its lists are the fault's tuples."""
    return registered()[kind](**{k: tuple(v) if isinstance(v, list) else v for k, v in arguments.items()})


@contextmanager
def done_and_undone(harm: Fault[Any], cluster: Cluster, journal: Journal) -> Iterator[None]:
    """Harm for the block's length: it takes its steps, each look finds it there, and none once it is undone."""
    history = History()
    with inject(harm, cluster, journal, history) as saved:
        yield
    assert [step.step for step in history.of(FaultStep)] == ["planned", "applied", "landed", "undoing", "undone"]
    looks = history.of(HarmLook)
    assert [look for look in looks if look.seen != THERE] == []
    assert harm.lasts(cluster, saved) is (False if looks else None)


def main() -> None:
    load_all()
    ref, kind, arguments, run = sys.argv[1:5]
    fault = fault_of(kind, json.loads(arguments))
    there = msgspec.json.decode(ref, type=ClusterRef)
    cluster = attach(there, busybox=WORKLOAD_IMAGE if there.agent else "")  # nodes can pull no published one here
    with Journal(journals_dir() / f"{run}.jsonl") as journal, inject(fault, cluster, journal, History()):
        print("landed", flush=True)
        select.select([sys.stdin], [], [], LONGEST_S)


if __name__ == "__main__":
    main()
