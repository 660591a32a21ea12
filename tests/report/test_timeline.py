"""What is drawn of a history: every state while they are few, how many when they are many."""

from chaos.record.history import History, Window
from chaos.record.records import Blind, ClusterEvent, FaultStep, NodeChange, Phase, PodChange, Probe, Sample, Writes
from chaos.record.registry import Record
from chaos.report import panels
from chaos.report.panels import Bar, Panel, Timeline
from chaos.report.timeline import timeline


def drawn(*records: Record) -> Timeline:
    return timeline(History.of_records([*records, Phase(100.0, "judge")]))


def panel(found: Timeline, title: str) -> Panel:
    (one,) = [each for each in found.panels if each.title.startswith(title)]
    return one


def bars(found: Timeline, title: str) -> list[tuple[str, float, float, str]]:
    return [(b.lane, b.start, b.end, b.state) for b in panel(found, title).bars]


def test_a_fault_is_drawn_from_its_landing_until_it_was_undone() -> None:
    steps = [FaultStep(at, "cut", step) for at, step in ((1, "planned"), (2, "applied"), (3, "landed"), (9, "undone"))]
    found = drawn(Phase(0.0, "fault", "cut"), Phase(5.0, "hold"), *steps, FaultStep(50.0, "off", "landed"))
    assert found.faults == (Window(3, 9), Window(50.0, 100.0))
    assert bars(found, "Story") == [
        ("phase", 0.0, 5.0, "fault"),
        ("phase", 5.0, 100.0, "hold"),
        ("phase", 100.0, 100.0, "judge"),
        ("cut", 2, 3, panels.APPLIED),
        ("cut", 3, 9, panels.LANDED),
        ("off", 50.0, 100.0, panels.LANDED),
    ]
    assert [step.what for step in found.steps][:3] == ["phase fault", "fault cut planned", "fault cut applied"]


def test_nodes_and_pods_are_drawn_by_state() -> None:
    found = drawn(
        NodeChange(0.0, "a", "listed", "True"),
        NodeChange(10.0, "a", "modified", "Unknown"),
        NodeChange(20.0, "a", "modified", "Unknown", ("x:NoExecute",)),
        PodChange(0.0, "ns", "p", "1", "listed", phase="Running", node="a", ready=True),
        PodChange(30.0, "ns", "p", "1", "modified", phase="Running", node="a", deleting=True),
        PodChange(40.0, "ns", "p", "1", "deleted", phase="Running", node="a", deleting=True),
        PodChange(40.0, "ns", "p", "2", "added", phase="Pending"),
    )
    assert bars(found, "Nodes") == [
        ("a", 0.0, 10.0, panels.READY),
        ("a", 10.0, 20.0, panels.UNKNOWN),
        ("a", 20.0, 100.0, panels.UNKNOWN + panels.TAINTED),
    ]
    assert bars(found, "Pods") == [
        ("ns/p (1)", 0.0, 30.0, panels.READY),
        ("ns/p (1)", 30.0, 40.0, panels.TERMINATING),
        ("ns/p (2)", 40.0, 100.0, panels.PENDING),
    ]


def test_of_many_nodes_only_those_that_changed_are_drawn() -> None:
    nodes = [NodeChange(0.0, f"n{n:03}", "listed", "True") for n in range(200)]
    found = panel(drawn(*nodes, NodeChange(9.0, "n007", "modified", "False")), "Nodes")
    assert found.title == "Nodes that changed"
    assert found.lanes == ("n007",)
    assert found.note == "199 of 200 nodes did not change and are not drawn"


def test_of_many_that_changed_it_is_drawn_how_many_are_in_which_state() -> None:
    nodes = [NodeChange(0.0, f"n{n}", "listed", "True") for n in range(100)]
    away = [NodeChange(50.5, f"n{n}", "modified", "Unknown") for n in range(60)]
    found = panel(drawn(*nodes, *away), "Nodes by state")
    values = {s.name: dict(zip(s.at, s.values, strict=True)) for s in found.series}
    assert found.stacked
    assert [values[panels.READY][at] for at in (0.0, 50.0, 51.0, 100.0)] == [100, 100, 40, 40]
    assert [values[panels.UNKNOWN][at] for at in (0.0, 50.0, 51.0, 100.0)] == [0, 0, 60, 60]


def test_availability_and_outages_come_from_probes() -> None:
    probes = [Probe(at / 10, "n", "web", not 40 <= at / 10 < 50, 0.01, error="refused") for at in range(1000)]
    found = drawn(*probes)
    assert bars(found, "Service") == [("n->web", 40.0, 50.0, panels.NO_ANSWER)]
    (series,) = panel(found, "Answered").series
    assert {value for at, value in zip(series.at, series.values, strict=True) if 41 < at < 49} == {0.0}
    assert {value for at, value in zip(series.at, series.values, strict=True) if at < 39} == {100.0}


def test_no_spike_is_lost_where_samples_are_thinned() -> None:
    samples = [Sample(n / 1000, "disk", "a", 900.0 if n == 54321 else 1.0) for n in range(100_000)]
    (series,) = panel(drawn(*samples), "disk").series
    assert len(series.at) <= 600
    assert series.at[series.values.index(900.0)] == 54.321


def test_events_of_one_reason_at_one_time_are_one_mark() -> None:
    events = [ClusterEvent(10 + n / 1000, "Pod/ns/p", "BackOff", "failed", "Warning") for n in range(500)]
    normal = [ClusterEvent(10.0, "Pod/ns/p", f"R{n}", "fine") for n in range(20)]
    found = panel(drawn(*events, *normal), "Events")
    assert [(m.state, m.count, m.detail) for m in found.marks if m.lane == "BackOff"] == [
        (panels.WARNING, 500, "Pod/ns/p: failed")
    ]
    assert found.note == "11 events of 11 further reasons are not drawn"


def test_what_was_not_seen_and_writes_are_drawn() -> None:
    found = drawn(
        Blind(5.0, "watch:pods", float("inf"), "no answer"),
        Writes(10.0, "mysql", "c", 1, 50, ok=True, took_s=0.1),
        Writes(10.2, "mysql", "c", 51, 60, ok=False, took_s=0.1, error="gone"),
    )
    assert Bar("watch:pods", 5.0, 100.0, panels.NOT_SEEN, "no answer") in panel(found, "Story").bars
    acknowledged, refused = panel(found, "Writes to mysql").series
    assert (max(acknowledged.values), max(refused.values)) == (150.0, 30.0)  # in bins of a third of a second


def test_an_empty_history_has_nothing_to_draw() -> None:
    assert timeline(History.of_records([])).panels == ()
