"""What was written down against what an API server tells: each change that is missing is found, and no other."""

from typing import Any

import pytest

from chaos.record.comparing import WrittenDown, passed_over
from chaos.record.history import History
from chaos.record.records import ClusterEvent, NodeChange, PodChange
from chaos.record.resources import RESOURCES

PODS, NODES, EVENTS = RESOURCES["pods"], RESOURCES["nodes"], RESOURCES["events"]


def item(name: str, version: int, **more: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "uid": name, "namespace": "ns", "resourceVersion": str(version)}, **more}


def event(name: str, version: int) -> dict[str, Any]:
    return item(name, version, involvedObject={"kind": "Pod", "namespace": "ns", "name": "a"})


def pod(name: str, version: int, change: str = "modified") -> PodChange:
    return PodChange(float(version), "ns", name, name, change, resource_version=str(version))


def written(*records: Any, kind: Any = PodChange, known: frozenset[str] = frozenset()) -> WrittenDown:
    return WrittenDown.of(History.of_records(records), kind, known)


def test_what_was_written_down_is_not_missing() -> None:
    there = written(pod("a", 5, "listed"), pod("a", 7), pod("b", 8, "deleted"))
    assert there.lacks([item("a", 7)], PODS) == ""
    assert there.lacks_of_watch([("MODIFIED", item("a", 7)), ("DELETED", item("b", 8))], 8) == ""


def test_an_object_that_changed_last_without_a_record_is_missing() -> None:
    assert written(pod("a", 5)).lacks([item("a", 7)], PODS) == "a has the version 7, and no record says so"


def test_an_object_that_is_gone_without_a_record_is_missing() -> None:
    there = written(pod("a", 5), pod("b", 6))
    assert there.lacks([item("b", 6)], PODS) == "ns/a is gone at the end, and no record says so"
    node = NodeChange(1.0, "n", "listed", "True", resource_version="3")
    assert written(node, kind=NodeChange).lacks([item("m", 3)], NODES).startswith("n is gone at the end")


def test_an_object_that_came_after_the_list_is_not_said_to_be_gone() -> None:
    assert written(pod("a", 5), pod("b", 9)).lacks([item("a", 5)], PODS) == ""


def test_a_change_between_two_that_were_written_down_is_missing() -> None:
    there = written(pod("a", 5), pod("a", 9))
    assert there.lacks([item("a", 9)], PODS) == "", "a list does not show it"
    told = [("MODIFIED", item("a", 7)), ("MODIFIED", item("a", 9))]
    assert there.lacks_of_watch(told, 9) == "a had the version 7, and no record says so"
    assert there.lacks_of_watch([("MODIFIED", item("a", 12))], 9) == "", "that was after the end"


@pytest.mark.parametrize("known", [frozenset({"3"}), frozenset[str]()])
def test_events_from_before_are_no_records_and_expired_ones_neither(known: frozenset[str]) -> None:
    there = written(ClusterEvent(1.0, "Pod/ns/a", "r", "m", resource_version="5"), kind=ClusterEvent, known=known)
    assert (there.lacks([event("old", 3), event("new", 5)], EVENTS) == "") is bool(known)
    assert there.lacks([event("new", 5)], EVENTS) == ""
    assert there.lacks_of_watch([("DELETED", event("old", 6))], 9) == ""


def test_the_newest_is_of_the_time_since_then() -> None:
    there = written(pod("a", 5), pod("a", 10))
    assert (there.newest(5), there.newest(10)) == (10, 0)


def test_what_a_stream_went_by_is_missing_and_a_server_that_went_back_is_not() -> None:
    known = {"a": pod("a", 5), "b": pod("b", 9)}
    assert passed_over(known, [item("a", 7)], 9) == "a had the version 7, and no record says so"
    assert passed_over(known, [item("a", 10)], 9) == "", "it changed while nobody watched"
    assert passed_over(known, [item("a", 5), item("b", 3)], 9) == "", "etcd was set back"
    assert passed_over(known, [item("c", 7)], 9) == "", "etcd was set back to when it was there"
