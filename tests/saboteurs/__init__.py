"""Saboteurs: what replays are made of does not do its work, or somebody does more harm than they know of.

pytest -p tests.saboteurs suites/ ..., with the saboteurs' names in KUBE_ORDEAL_SABOTEURS, parted by commas. Each is put
in the place of a framework's part when pytest starts, in each process of a run side by side; the replays know nothing
of it. No replay may end as held for any of them, but where it shows just what it shows without (`SAME`). Those of what
a replay is made of make it unknown (harming, recording, measuring), the others break promises (breaking).
"""

import os
from collections.abc import Callable, Mapping

from chaos.harm import load_all
from tests.saboteurs import breaking, harming, measuring, recording

NAMED_BY = "KUBE_ORDEAL_SABOTEURS"

# Of what a replay is made of: each is tried with each replay by tests.bench.saboteurs.
PARTS: tuple[Callable[[], None], ...] = (
    harming.fault_does_nothing,
    harming.fault_lapses,
    harming.fault_lies,
    harming.fault_hits_wrong_node,
    harming.fault_harms_half_its_nodes,
    harming.fault_half_done,
    recording.recorder_drops,
    recording.recorder_loses_lines,
    recording.recorder_doubles,
    recording.recorder_reorders,
    measuring.prober_always_answers,
    measuring.sampler_stops,
    measuring.sampler_repeats,
    measuring.harm_looks_stop,
    measuring.clock_jumps_forward,
    measuring.clock_jumps_back,
)
BREAKING: tuple[Callable[[], None], ...] = (
    breaking.containers_killed,
    breaking.pod_deleted,
    breaking.kubelet_restarted,
    breaking.runtime_stalls,
    breaking.stores_stalled,
    breaking.kubelet_stopped,
    breaking.logs_silent,
    breaking.rows_deleted,
    breaking.node_misconfigured,
    breaking.apiserver_stalled,
    breaking.service_gone,
)


def name_of(saboteur: Callable[[], None]) -> str:
    """As it is named by users."""
    return saboteur.__name__.replace("_", "-")


SABOTEURS: Mapping[str, Callable[[], None]] = {name_of(each): each for each in (*PARTS, *BREAKING)}
# Who says a thing twice, or later than another one, has said it: these may change nothing.
SAME = frozenset({"recorder-doubles", "recorder-reorders"})


def pytest_configure() -> None:
    """Before anything is collected."""
    load_all()
    for name in os.environ[NAMED_BY].split(","):
        SABOTEURS[name]()
