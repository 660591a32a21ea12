"""The recorder against an API server that plays its part over real HTTP: it loses nothing and doubles nothing."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chaos.basics.waiting import WaitedInVainError, eventually, hold
from chaos.errors import OrdealError
from chaos.record.history import History
from chaos.record.lines_of_watch import Lines
from chaos.record.recorder import Recorder
from chaos.record.records import IN_SYNC, Blind, ClusterEvent, NodeChange, PodChange, Sample
from chaos.record.stream import LATE_S, Stream
from tests.fake_apiserver import FakeApiServer

pytestmark = pytest.mark.timed


@pytest.fixture
def api(tmp_path: Path) -> Iterator[FakeApiServer]:
    with FakeApiServer(tmp_path) as server:
        yield server


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorter deadlines, so that a test need not wait for them."""
    monkeypatch.setattr("chaos.record.stream.ANSWER_TIMEOUT_S", 0.5)
    monkeypatch.setattr("chaos.record.recorder.PULSE_TIMEOUT_S", 0.3)
    monkeypatch.setattr("chaos.record.recorder.PULSE_EVERY_S", 0.1)


def changes(history: History) -> list[tuple[str, str, str]]:
    return [(p.name, p.change, p.resource_version) for p in history.of(PodChange)]


def words(history: History) -> dict[str, float]:
    return {s.subject: s.value for s in history.of(Sample) if s.name == IN_SYNC}


def of_pods(history: History) -> list[Blind]:
    """Where pods were not seen, or seen late; but for what this machine is late by."""
    slow = ("the recorder was held up", "the API server took")
    return [b for b in history.of(Blind) if b.source == "watch:pods" and not b.why.startswith(slow)]


def soon(condition: Callable[[], object], what: str = "the recorder to see it") -> None:
    eventually(condition, within_s=15, what=what, every_s=0.01)


def test_first_list_is_in_the_history_on_entry(api: FakeApiServer) -> None:
    for number in range(5):
        api.put("pods", f"p{number}")
    api.put("nodes", "n")
    api.page_size = 2
    history = History()
    with Recorder(history, api.client):
        assert [(p.name, p.change) for p in history.of(PodChange)] == [(f"p{n}", "listed") for n in range(5)]
        assert [n.name for n in history.of(NodeChange)] == ["n"]


def test_changes_are_recorded_once_in_order(api: FakeApiServer) -> None:
    api.put("pods", "a")
    history = History()
    with Recorder(history, api.client):
        api.put("pods", "a", status={"phase": "Running"})
        api.put("pods", "b")
        api.delete("pods", "a")
    assert changes(history) == [
        ("a", "listed", "101"),
        ("a", "modified", "102"),
        ("b", "added", "103"),
        ("a", "deleted", "104"),
    ]
    assert words(history) == {"watch:nodes": 1, "watch:pods": 1, "watch:events": 1}
    assert not of_pods(history)


def test_events_from_before_are_not_recorded(api: FakeApiServer) -> None:
    about = {"kind": "Pod", "namespace": "default", "name": "a"}
    api.put("events", "old", reason="TaintManagerEviction", involvedObject=about)
    history = History()
    with Recorder(history, api.client):
        api.put("events", "new", reason="Killing", message="m", type="Warning", count=2, involvedObject=about)
        api.delete("events", "old")
    (event,) = history.of(ClusterEvent)
    assert (event.reason, event.regarding, event.message, event.type, event.count) == (
        "Killing",
        "Pod/default/a",
        "m",
        "Warning",
        2,
    )


def test_a_doubled_event_is_recorded_once(api: FakeApiServer) -> None:
    history = History()
    with Recorder(history, api.client):
        api.put("pods", "a")
        api.say_again("pods")
        api.delete("pods", "a")
        api.say_again("pods")
    assert changes(history) == [("a", "added", "101"), ("a", "deleted", "102")]


def test_a_server_that_goes_back_in_time_is_recorded_as_it_is(api: FakeApiServer) -> None:
    history = History()
    with Recorder(history, api.client):
        api.put("pods", "a", status={"phase": "Pending"})
        api.put("pods", "a", status={"phase": "Running"})
        old = api.log["pods"][0][1]
        api.send("pods", "MODIFIED", old)
        soon(lambda: len(history.of(PodChange)) == 3)
        seen = [(p.phase, p.resource_version) for p in history.of(PodChange)]
    assert seen == [("Pending", "101"), ("Running", "102"), ("Pending", "101")]


def test_a_broken_watch_goes_on_where_it_broke(api: FakeApiServer) -> None:
    history = History()
    with Recorder(history, api.client) as recorder:
        for number in range(6):
            api.put("pods", f"p{number}")
            api.cut()
            api.put("pods", f"q{number}")
            assert recorder.catch_up()
    assert [name for name, _, _ in changes(history)] == [f"{kind}{n}" for n in range(6) for kind in "pq"]
    assert not [b for b in history.of(Blind) if not b.complete]


@pytest.mark.parametrize("as_event", [False, True])
def test_410_lists_again_and_compares(api: FakeApiServer, as_event: bool) -> None:
    for name in ("stays", "changes", "goes"):
        api.put("pods", name)
    api.gone_as_event = as_event
    history = History()
    with Recorder(history, api.client) as recorder:
        with api.changed:
            api.put("pods", "changes", status={"phase": "Running"})
            api.delete("pods", "goes")
            api.put("pods", "comes")
            api.log["pods"].clear()  # nobody is told
            api.compact()
            api.cut()
        soon(lambda: len(changes(history)) == 6)
        assert recorder.catch_up()
        api.put("pods", "later")
    assert sorted(changes(history)[3:6]) == [
        ("changes", "modified", "104"),
        ("comes", "added", "106"),
        ("goes", "deleted", "106"),
    ]
    assert changes(history)[6:] == [("later", "added", "107")]
    blind = of_pods(history)
    assert blind
    assert all(b.complete and b.until >= b.at for b in blind)


def test_a_server_that_freezes_is_a_blindness_that_ends(api: FakeApiServer, impatient: None) -> None:
    history = History()
    with Recorder(history, api.client) as recorder:
        api.stall()
        frozen = history.now()
        api.put("pods", "unseen")
        threading.Event().wait(1.5)  # longer than a pulse waits for its answer
        api.answer_again()
        soon(lambda: of_pods(history), "the blindness to be written down")
        thawed = history.now()
        assert recorder.catch_up()
    pods = of_pods(history)
    assert len(pods) == 1
    assert pods[0].complete
    assert pods[0].at <= frozen + 0.5
    assert frozen < pods[0].until <= thawed
    assert [name for name, _, _ in changes(history)] == ["unseen"]


def test_a_recording_that_ends_blind_says_so(api: FakeApiServer, impatient: None) -> None:
    history = History()
    with Recorder(history, api.client):
        api.hanging.set()
        api.cut()
    assert not [t.name for t in threading.enumerate() if t.name.startswith("recorder")]
    assert words(history) == {"watch:nodes": 0, "watch:pods": 0, "watch:events": 0}
    blind = {b.source for b in history.of(Blind) if not b.complete}
    assert blind == {"watch:nodes", "watch:pods", "watch:events"}


def test_a_server_without_bookmarks_is_not_called_in_sync(api: FakeApiServer) -> None:
    api.bookmarks = False
    history = History()
    with Recorder(history, api.client) as recorder:
        api.put("nodes", "n")
        soon(lambda: history.of(NodeChange))
        assert not recorder.catch_up(within_s=0.5)
        assert words(history) == {"watch:nodes": 1, "watch:pods": 0, "watch:events": 1}
        api.bookmarks = True


def test_switch_lists_on_the_other_server_and_compares(api: FakeApiServer, tmp_path: Path) -> None:
    api.put("pods", "both")
    api.put("pods", "only-first")
    history = History()
    with FakeApiServer(tmp_path) as second:
        second.put("pods", "both")
        second.put("pods", "only-second")
        with Recorder(history, api.client) as recorder:
            recorder.switch(second.client)
            recorder.wait_synced()
            api.put("pods", "not-watched-any-more")
            second.put("pods", "watched")
    assert changes(history) == [
        ("both", "listed", "101"),
        ("only-first", "listed", "102"),
        ("only-second", "added", "102"),
        ("only-first", "deleted", "102"),
        ("watched", "added", "103"),
    ]
    assert all(b.complete for b in history.of(Blind))


def test_a_refusal_is_one_sentence(api: FakeApiServer) -> None:
    api.refuse = 403
    with pytest.raises(OrdealError, match="may not read nodes: 403"), Recorder(History(), api.client):
        pass


def test_a_server_that_never_answers_is_given_up(api: FakeApiServer, impatient: None) -> None:
    api.stall()
    with (
        pytest.raises(WaitedInVainError, match="could not list everything"),
        Recorder(History(), api.client, sync_within_s=0.5),
    ):
        pass
    assert not [t.name for t in threading.enumerate() if t.name.startswith("recorder")]


def test_a_pod_is_read_as_the_api_means_it(api: FakeApiServer) -> None:
    api.put(
        "pods",
        "p",
        metadata={"deletionTimestamp": "2026-01-01T00:00:00Z", "labels": {"kube-ordeal/workload": "web"}},
        spec={"nodeName": "worker"},
        status={
            "phase": "Running",
            "conditions": [
                {"type": "Ready", "status": "True"},
                {"type": "DisruptionTarget", "status": "True", "reason": "DeletionByTaintManager"},
            ],
            "containerStatuses": [
                {"containerID": "containerd://b", "restartCount": 2, "state": {"running": {}}},
                {"containerID": "containerd://a", "restartCount": 1, "state": {"running": {"startedAt": "x"}}},
                {"containerID": "containerd://dead", "restartCount": 0, "state": {"terminated": {}}},
            ],
        },
    )
    history = History()
    with Recorder(history, api.client):
        pass
    (pod,) = history.of(PodChange)
    assert (pod.workload, pod.phase, pod.node, pod.ready, pod.deleting) == ("web", "Running", "worker", True, True)
    assert (pod.restarts, pod.containers) == (3, ("containerd://a", "containerd://b"))
    assert pod.reason == "DeletionByTaintManager"


def test_a_node_is_read_as_the_api_means_it(api: FakeApiServer) -> None:
    api.put(
        "nodes",
        "n",
        metadata={"labels": {"topology.kubernetes.io/zone": "a"}},
        spec={"unschedulable": True, "taints": [{"key": "k", "effect": "NoExecute"}]},
        status={
            "addresses": [{"type": "Hostname", "address": "n"}, {"type": "InternalIP", "address": "10.0.0.1"}],
            "conditions": [{"type": "Ready", "status": "Unknown"}],
        },
    )
    history = History()
    with Recorder(history, api.client):
        pass
    (node,) = history.of(NodeChange)
    assert (node.zone, node.ready, node.taints, node.address, node.unschedulable) == (
        "a",
        "Unknown",
        ("k:NoExecute",),
        "10.0.0.1",
        True,
    )


ODD_OBJECTS: dict[str, Any] = {
    "a string": "surprise",
    "a list": ["surprise"],
    "null": None,
    "a status": {"kind": "Status", "metadata": {}, "status": "Failure", "code": 500},
    "metadata null": {"metadata": None},
    "metadata a list": {"metadata": ["surprise"]},
    "a version of letters": {"metadata": {"name": "p", "uid": "p", "namespace": "d", "resourceVersion": "surprise"}},
    "a version of another alphabet": {
        "metadata": {"name": "p", "uid": "p", "namespace": "d", "resourceVersion": "\u0663"}
    },
    "no uid": {"metadata": {"name": "p", "uid": None, "namespace": "d", "resourceVersion": "500"}},
    "a name that is a number": {"metadata": {"name": 7, "uid": "p", "namespace": "d", "resourceVersion": "500"}},
    "labels that are a list": {
        "metadata": {"name": "p", "uid": "p", "namespace": "d", "resourceVersion": "500", "labels": ["surprise"]}
    },
    "conditions that are strings": {
        "metadata": {"name": "p", "uid": "p", "namespace": "d", "resourceVersion": "500"},
        "status": {"conditions": ["surprise"]},
    },
    "a status that is a string": {
        "metadata": {"name": "p", "uid": "p", "namespace": "d", "resourceVersion": "500"},
        "status": "surprise",
    },
}
ODD_EVENTS: dict[str, Any] = {
    "a string": "surprise",
    "a list": ["surprise"],
    "no type": {"object": {"metadata": {"resourceVersion": "500"}}},
    "an unknown type": {"type": "SURPRISE", "object": {"metadata": {"resourceVersion": "500"}}},
    "an error that is a string": {"type": "ERROR", "object": "surprise"},
    **{f"object {name}": {"type": "ADDED", "object": odd} for name, odd in ODD_OBJECTS.items()},
}


@pytest.mark.parametrize("odd", ODD_EVENTS.values(), ids=ODD_EVENTS)
def test_an_event_that_is_none_is_a_blindness_until_the_right_one_comes(
    api: FakeApiServer, odd: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each new watch begins well, and breaks at the same event: the blindness is one, from the first time on."""
    late_s = 0.3
    monkeypatch.setattr("chaos.record.stream.LATE_S", late_s)
    history = History()
    with Recorder(history, api.client) as recorder:
        began = history.now()
        api.spoils = lambda said: odd if said.get("type") == "ADDED" else said
        api.put("pods", "a")
        hold(2 * late_s)
        assert not changes(history)
        assert not recorder.catch_up(within_s=0.1)
        api.spoils = None
        soon(lambda: changes(history))
        assert recorder.catch_up()
    assert changes(history) == [("a", "added", "101")]
    seen_at = history.of(PodChange)[0].at
    blind = of_pods(history)
    assert [b.complete for b in blind] == [True]
    assert began - late_s <= blind[0].at <= began + 0.5
    assert seen_at - 0.1 <= blind[0].until <= seen_at + late_s


def test_a_recording_that_ends_at_an_event_that_is_none_is_not_vouched_for(
    api: FakeApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chaos.record.recorder.CATCH_UP_WITHIN_S", 0.5)
    history = History()
    with Recorder(history, api.client):
        api.spoils = lambda said: {"type": "ADDED", "object": "surprise"} if "type" in said else said
        api.put("pods", "a")
    assert words(history)["watch:pods"] == 0
    assert [b.complete for b in history.of(Blind) if b.source == "watch:pods"] == [False]


def test_a_watch_that_breaks_each_time_at_the_same_place_is_one_blindness(api: FakeApiServer) -> None:
    history = History()
    with Recorder(history, api.client) as recorder:
        began = history.now()
        api.breaks_watches = True
        api.put("pods", "a")
        hold(2 * LATE_S)
        api.breaks_watches = False
        soon(lambda: changes(history))
        assert recorder.catch_up()
    seen_at = history.of(PodChange)[0].at
    (blind,) = of_pods(history)
    assert blind.complete
    assert blind.at <= began + 0.5
    assert seen_at - 0.1 <= blind.until <= seen_at + LATE_S


def test_an_event_that_comes_in_drops_is_told_to_be_late(api: FakeApiServer) -> None:
    """Its first bytes come at once, the pulse beside it is fine, and the rest takes its time."""
    history = History()
    with Recorder(history, api.client):
        api.goes_on.clear()
        began = history.now()
        api.put("pods", "a")
        hold(1.5 * LATE_S)
        api.goes_on.set()
        soon(lambda: changes(history))
    (blind,) = of_pods(history)
    assert blind.complete
    assert "to come" in blind.why
    assert began <= blind.at <= began + 0.5
    assert blind.until == history.of(PodChange)[0].at


def test_a_watch_that_falls_silent_is_blind_since_it_was_last_heard(
    api: FakeApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server answers on every other connection: only that watch is dead, and its end is all that tells."""
    monkeypatch.setattr("chaos.record.stream.ANSWER_TIMEOUT_S", 0.5)
    monkeypatch.setattr("chaos.record.stream.WATCH_FOR_S", 2)
    monkeypatch.setattr("chaos.record.recorder.PULSE_EVERY_S", 0.1)
    history = History()
    with Recorder(history, api.client):
        api.put("pods", "before")
        soon(lambda: changes(history))
        heard = history.of(PodChange)[0].at
        api.silence_watches()
        api.put("pods", "unseen")
        soon(lambda: len(changes(history)) == 2)
    blind = [b for b in history.of(Blind) if b.source == "watch:pods" and "silent" in b.why]
    assert blind
    assert blind[0].at <= heard + LATE_S
    assert blind[0].until - blind[0].at > 2.0


class LateEvent(threading.Event):
    """Whoever waits is let go on half a second later: the machine had no processor for it."""

    def wait(self, timeout: float | None = None) -> bool:
        return super().wait(None if timeout is None else timeout + 0.5)


def test_what_a_recorder_that_is_held_up_tells_is_late(api: FakeApiServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chaos.record.recorder.PULSE_EVERY_S", 0.1)
    monkeypatch.setattr("chaos.record.recorder.HELD_UP_S", 0.4)
    history = History()
    recorder = Recorder(history, api.client)
    recorder._stop = LateEvent()
    with recorder:
        soon(lambda: {b.source for b in history.of(Blind)} == {"watch:nodes", "watch:pods", "watch:events"})
    first = history.of(Blind)[0]
    assert first.why.startswith("the recorder was held up for 0.")
    assert (first.complete, first.until - first.at > 0.5) == (True, True)


class LastEvent(threading.Event):
    """Whoever waits is let go on only when all is over: the machine had no processor for it until then."""

    def wait(self, timeout: float | None = None) -> bool:
        return super().wait(None if timeout is None else 60.0)


def test_a_recorder_that_is_held_up_until_it_ends_tells_it(api: FakeApiServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chaos.record.recorder.PULSE_EVERY_S", 0.1)
    monkeypatch.setattr("chaos.record.recorder.HELD_UP_S", 0.4)
    history = History()
    recorder = Recorder(history, api.client)
    recorder._stop = LastEvent()
    with recorder:
        synced = history.now()
        soon(lambda: history.now() > synced + 0.6)
    held_up = [b for b in history.of(Blind) if b.why.startswith("the recorder was held up for ")]
    assert {b.source for b in held_up} == {"watch:nodes", "watch:pods", "watch:events"}
    assert all(b.complete and b.until > synced + 0.6 for b in held_up)


def test_what_an_api_server_tells_that_takes_long_to_answer_is_late(
    api: FakeApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chaos.record.recorder.PULSE_EVERY_S", 0.1)
    monkeypatch.setattr("chaos.record.recorder.PULSE_TIMEOUT_S", 30.0)
    monkeypatch.setattr("chaos.record.recorder.HELD_UP_S", 0.4)
    history = History()
    with Recorder(history, api.client):
        api.stall()
        hold(1.0)
        api.answer_again()
        soon(lambda: any("took" in b.why for b in history.of(Blind)))
    late = [b for b in history.of(Blind) if b.why.startswith("the API server took")]
    assert all(b.complete and b.until - b.at >= 0.4 for b in late)


ODD_LISTS: dict[str, Any] = {
    "null": None,
    "a string": "surprise",
    "a list": [],
    "empty": {},
    "items null": {"metadata": {"resourceVersion": "900"}, "items": None},
    "no items": {"metadata": {"resourceVersion": "900"}},
    "items a string": {"metadata": {"resourceVersion": "900"}, "items": "surprise"},
    "items of strings": {"metadata": {"resourceVersion": "900"}, "items": ["surprise"]},
    "items of null": {"metadata": {"resourceVersion": "900"}, "items": [None]},
    "no version": {"metadata": {}, "items": []},
    "a status": {"kind": "Status", "metadata": {}, "status": "Failure", "code": 500},
}


@pytest.mark.parametrize("odd", ODD_LISTS.values(), ids=ODD_LISTS)
def test_a_list_that_is_none_deletes_nothing(api: FakeApiServer, odd: object) -> None:
    api.put("pods", "a")
    history = History()
    with Recorder(history, api.client) as recorder:
        api.spoils = lambda said: odd if said.get("kind") == "List" else said
        api.compact()
        api.put("pods", "b")
        with api.changed:
            api.compact()
            api.cut()
        assert not recorder.catch_up(within_s=0.3)
        api.spoils = None
        assert recorder.catch_up()
    assert "deleted" not in {change for _, change, _ in changes(history)}
    assert {name for name, _, _ in changes(history)} == {"a", "b"}


ACTIONS = st.lists(
    st.sampled_from(
        ["put", "put", "put", "change", "change", "delete", "delete", "cut", "again", "gone", "gone-as-event"]
    ),
    min_size=5,
    max_size=40,
)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(actions=ACTIONS)
def test_whatever_breaks_the_recorder_ends_with_the_servers_state(tmp_path: Path, actions: list[str]) -> None:
    history = History()
    with FakeApiServer(tmp_path) as api:
        for number in range(3):
            api.put("pods", f"old{number}")
        with Recorder(history, api.client) as recorder:
            compacted = _play(api, actions)
            assert recorder.catch_up()
        server = {uid: item["metadata"]["resourceVersion"] for uid, item in api.objects["pods"].items()}
        told = [(k, o["metadata"]["resourceVersion"]) for k, o in api.log["pods"]]
    seen: dict[str, str] = {}
    for change in history.of(PodChange):
        if change.change == "deleted":
            assert seen.pop(change.uid, None) is not None, "deleted without having been seen"
        else:
            assert (change.change == "modified") == (change.uid in seen)
            seen[change.uid] = change.resource_version
    assert seen == server
    doubles = [d for d, n in Counter((p.uid, p.resource_version) for p in history.of(PodChange)).items() if n > 1]
    assert not doubles
    if not compacted:  # then not one change may be missing, whatever was cut
        assert [p.resource_version for p in history.of(PodChange)] == list(dict.fromkeys(rv for _, rv in told))
    assert all(b.complete for b in history.of(Blind))


def _play(api: FakeApiServer, actions: list[str]) -> bool:
    """Do them all; whether versions were compacted away."""
    compacted = False
    for number, action in enumerate(actions):
        alive = sorted(api.objects["pods"])
        if action == "put":
            api.put("pods", f"new{number}")
        elif action == "change" and alive:
            api.put("pods", alive[number % len(alive)], status={"phase": f"phase {number}"})
        elif action == "delete" and alive:
            api.delete("pods", alive[number % len(alive)])
        elif action == "again":
            api.say_again("pods")
        elif action == "cut":
            api.cut()
        elif action.startswith("gone"):
            compacted = True
            api.gone_as_event = action == "gone-as-event"
            api.compact()
            api.cut()
    return compacted


def lost(history: History) -> list[tuple[str, str]]:
    return [(b.source, b.why) for b in history.of(Blind) if not b.complete]


def test_a_change_that_was_not_written_down_is_told(api: FakeApiServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """One in the middle: a list at the end does not show it."""
    record = Stream._record
    drops = iter([False, True, False])
    monkeypatch.setattr(Stream, "_record", lambda self, seen: None if next(drops, False) else record(self, seen))
    history = History()
    with Recorder(history, api.client, resources=["pods"]):
        for phase in ("Pending", "Running", "Failed"):
            api.put("pods", "a", status={"phase": phase})
    assert [p.phase for p in history.of(PodChange)] == ["Pending", "Failed"]
    assert lost(history) == [("watch:pods", "a had the version 102, and no record says so")]


@pytest.fixture
def deaf_to_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The watch never looks at what says Failed; whoever asks it once more does."""
    lines = Lines.of

    def deaf(self: Lines, answer: object) -> Iterator[tuple[float, bytes]]:
        return ((began, line) for began, line in lines(self, answer) if b"Failed" not in line)

    monkeypatch.setattr(Lines, "of", deaf)


@pytest.mark.usefixtures("deaf_to_failed")
def test_a_line_that_was_never_read_is_told(api: FakeApiServer) -> None:
    api.put("pods", "a", status={"phase": "Pending"})
    history = History()
    with Recorder(history, api.client, resources=["pods"]):
        api.put("pods", "a", status={"phase": "Failed"})
        api.put("pods", "b", status={"phase": "Running"})
        soon(lambda: len(history.of(PodChange)) == 2)
    assert lost(history) == [("watch:pods", "a has the version 102, and no record says so")]


@pytest.mark.usefixtures("deaf_to_failed")
def test_a_line_that_was_passed_over_is_told_by_the_next_list(api: FakeApiServer) -> None:
    """From then on nobody can ask for it: the other server does not know of it."""
    api.put("pods", "a", status={"phase": "Pending"})
    history = History()
    with Recorder(history, api.client, resources=["pods"]) as recorder:
        api.put("pods", "a", status={"phase": "Failed"})
        api.put("pods", "b", status={"phase": "Running"})
        soon(lambda: len(history.of(PodChange)) == 2)
        recorder.switch(api.client)
        recorder.wait_synced()
    assert lost(history) == [("watch:pods", "a had the version 102, and no record says so")]


def test_what_a_server_has_forgotten_is_not_said_to_be_lost(api: FakeApiServer) -> None:
    history = History()
    with Recorder(history, api.client, resources=["pods"]):
        api.put("pods", "a")
        soon(lambda: changes(history))
        api.compact()
    assert lost(history) == []
