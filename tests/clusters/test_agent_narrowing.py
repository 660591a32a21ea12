"""Of a plan that several nodes share, each is told its own part, which it can read as a plan."""

import inspect
from collections.abc import Iterator, Mapping
from enum import Enum
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import msgspec
import pytest

from chaos.clusters.agent.narrowing import narrowed
from chaos.clusters.identity import named_in
from chaos.harm import load_all
from chaos.harm.base import plan_type, registered

load_all()
NODES = ("w1", "w2", "w3")


@pytest.mark.parametrize(
    ("plan", "own"),
    [
        ({"nodes": ["w1", "w2", "w3"]}, {"nodes": ["w2"]}),
        ({"nodes": ("w1", "w3")}, {"nodes": []}),
        ({"nodes": ["w1", "w2"], "peers": ["10.0.0.1", "w9"]}, {"nodes": ["w2"], "peers": ["10.0.0.1", "w9"]}),
        (
            {"sides": [{"node": "w1", "rate": 1}, {"node": "w2", "rate": 2}, {"node": "w9"}, {"rate": 3}]},
            {"sides": [{"node": "w2", "rate": 2}, {"node": "w9"}, {"rate": 3}]},
        ),
        ({"pids": {"w1": "1", "w2": "2", "kubelet": "3"}}, {"pids": {"w2": "2", "kubelet": "3"}}),
        ({"inside": {"deep": [{"nodes": ["w1", "w2"]}]}}, {"inside": {"deep": [{"nodes": ["w2"]}]}}),
        ({"node": "w2", "loss": 0.5, "was": None, "on": True}, {"node": "w2", "loss": 0.5, "was": None, "on": True}),
        ({"leader": "w1", "nodes": ["w1", "w2"]}, {"leader": "w1", "nodes": ["w2"]}),
        ({"side": {"node": "w1"}}, {"side": {"node": "w1"}}),
        ({}, {}),
    ],
    ids=[
        "names", "none of them", "others' names", "structs", "by name", "deep inside", "scalars",
        "another one that stands alone", "a struct that stands alone", "nothing",
    ],
)  # fmt: skip
def test_a_node_has_its_part(plan: Mapping[str, object], own: Mapping[str, object]) -> None:
    before = msgspec.json.encode(plan)
    assert narrowed(plan, "w2", NODES) == own
    assert msgspec.json.encode(plan) == before, "the others have theirs of the same"


def test_where_there_is_no_other_node_it_is_the_whole_plan() -> None:
    plan = {"nodes": ["w1"], "sides": [{"node": "w1"}], "by": {"w1": 1}}
    assert narrowed(plan, "w1", ("w1",)) == plan


# --- every fault there is


def some(hint: Any, node: str) -> Any:
    """A value of that type, with something of each type in it; what has a name of a node is that one."""
    plain: Mapping[Any, Any] = {str: node, int: 7, float: 0.5, bool: True, bytes: b"\x00\xff"}
    if hint in plain:
        return plain[hint]
    if inspect.isclass(hint) and issubclass(hint, msgspec.Struct):
        return hint(*(some(each, node) for each in get_type_hints(hint).values()))
    if inspect.isclass(hint) and issubclass(hint, Enum):
        return next(iter(hint))
    inner, origin = get_args(hint), get_origin(hint)
    if origin is tuple:
        return tuple(some(each, node) for each in (inner[:1] if inner[-1] is ... else inner))
    if origin is Mapping:
        return {some(inner[0], node): some(inner[1], node)}
    assert origin in {Union, UnionType}, f"no value is known of the type {hint}"
    return some(inner[0], node)


def of_several(hint: Any) -> bool:
    """Whether a field holds something of each of several nodes."""
    inner = get_args(hint)
    return (
        get_origin(hint) is tuple and inspect.isclass(inner[0]) and "node" in getattr(inner[0], "__annotations__", ())
    )


def shared() -> Iterator[tuple[str, str]]:
    """The fields of plans that are of several nodes, by the fault's kind."""
    for kind, cls in registered().items():
        for name, hint in get_type_hints(plan_type(cls)).items():
            if (name == "nodes" and get_origin(hint) is tuple) or of_several(hint):
                yield kind, name


def planned_for(kind: str, field: str) -> msgspec.Struct:
    """A plan of that fault for all nodes."""
    plan = some(plan_type(registered()[kind]), "w1")
    whole = [each for node in NODES for each in getattr(some(type(plan), node), field)]
    changed: msgspec.Struct = msgspec.structs.replace(plan, **{field: tuple(whole)})
    return changed


def test_faults_of_several_nodes_are_found() -> None:
    assert {("cut-off", "nodes"), ("bad-link", "sides")} <= set(shared())


@pytest.mark.parametrize("node", NODES)
@pytest.mark.parametrize(("kind", "field"), list(shared()))
def test_a_nodes_part_of_a_plan_is_a_plan(kind: str, field: str, node: str) -> None:
    plan = planned_for(kind, field)
    own = msgspec.json.decode(msgspec.json.encode(narrowed(msgspec.to_builtins(plan), node, NODES)))
    read = msgspec.convert(own, type(plan))
    (part,) = getattr(read, field)
    assert getattr(part, "node", part) == node


@pytest.mark.parametrize("kind", registered())
def test_a_plan_that_names_one_node_stays_as_it_is(kind: str) -> None:
    plan = some(plan_type(registered()[kind]), "w1")
    saved = msgspec.to_builtins(plan)
    own = msgspec.json.decode(msgspec.json.encode(narrowed(saved, "w1", NODES)))
    assert msgspec.convert(own, type(plan)) == plan
    assert named_in(saved, NODES) <= {"w1"}


def test_a_plan_by_node_has_each_nodes_own() -> None:
    saved = {
        "servers": {"w1": "https://a", "w2": "https://b"},
        "processes": {"w1": "1", "w2": "2"},
        "pinned": "https://c",
    }
    own = narrowed(saved, "w2", NODES)
    read: Any = msgspec.convert(own, plan_type(registered()["pin-kubelets"]))
    assert (read.servers, read.processes, read.pinned) == ({"w2": "https://b"}, {"w2": "2"}, "https://c")
