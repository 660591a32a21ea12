"""A component is looked at until it is at rest."""

from collections.abc import Iterator

import pytest

from chaos.record.history import History
from chaos.subjects.soak import components
from chaos.subjects.soak.components import OPERATIONS, Component, at_rest
from chaos.subjects.soak.records import ComponentProfile

HEAP = "heap profile: 0: 0 [0: 0] @ heap/1048576\n\n# HeapAlloc = {}\n"
GOROUTINES = "goroutine profile: total {}\n"
METRICS = 'process_start_time_seconds 12.5\nscheduler_schedule_attempts_total{{result="scheduled"}} {}\n'


def scheduler(*looks: tuple[int, int, int]) -> Component:
    """What it says at each look: operations, bytes, goroutines. The last one again and again."""
    told: Iterator[tuple[int, int, int]] = iter(looks)
    now = [next(told)]

    def page(path: str) -> bytes:
        done, live, count = now[0]
        if path.startswith("/debug/pprof/heap?gc=1"):
            return HEAP.format(live).encode()
        if path.startswith("/debug/pprof/goroutine"):
            return GOROUTINES.format(count).encode()
        now[0] = next(told, now[0])  # the last page of a look
        return METRICS.format(done).encode()

    return Component("kube-scheduler", OPERATIONS["kube-scheduler"], page)


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(components, "EVERY_S", 0.0)


def test_the_look_at_rest_is_recorded() -> None:
    history = History()
    found = at_rest(scheduler((7, 9000, 300), (8, 8000, 200), (8, 7000, 200), (8, 7000, 150), (8, 7000, 150)), history)
    assert (found.operations, found.heap_bytes, found.goroutines, found.settled) == (8, 7000, 150, True)
    assert history.of(ComponentProfile) == [found]
    assert found.process == "12.50"


def test_what_goes_on_working_is_not_at_rest() -> None:
    looks = [(number, 7000, 200) for number in range(200)]
    assert not at_rest(scheduler(*looks), History(), within_s=0.0).settled


def test_who_answers_something_else_was_not_looked_at() -> None:
    other = Component("kube-scheduler", OPERATIONS["kube-scheduler"], lambda _: b"forbidden")
    with pytest.raises(ValueError, match="no heap profile"):
        at_rest(other, History())
