"""What a fault plans is what its undo has, also after a crash; what does not fit is told before anything is done."""

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, ClassVar, get_args, get_origin, get_type_hints

import msgspec
import pytest

from chaos.clusters.base import EXISTING, KIND, ClusterRef
from chaos.clusters.existing import cluster as existing
from chaos.clusters.identity import Identity, NodeIdentity
from chaos.harm import load_all
from chaos.harm.base import FaultError, fault, inject, plan_type, registered, undo_pending
from chaos.harm.link import BadLinkPlan, LinkEnd
from chaos.hosts.places import journals_dir
from chaos.record.history import History
from chaos.record.journal import Journal, Pending, Saved, pending
from chaos.record.records import FaultStep
from chaos.run.undo import Permission, undo_all

load_all()
STEPS = ("apply", "landed", "lasts", "undo", "undone")
RUN = "20260101-000000-dead"
MEANT = Identity("u1", server="https://a:6443", nodes=tuple(NodeIdentity(f"w{n}", f"m{n}") for n in range(4)))


class Target:
    """A cluster that is nothing but what it is."""

    def __init__(self, identity: Identity | None = None, kind: str = KIND) -> None:
        self.ref = ClusterRef(kind, "ordeal", "/k", "kind-ordeal", identity)

    def identity(self) -> Identity:
        assert self.ref.identity is not None
        return self.ref.identity


@dataclass
class Stays:
    """Harm of any kind with any plan, which does nothing and is never undone: its entry stays in the journal."""

    kind: str
    planned: object
    needs: ClassVar[tuple[type, ...]] = ()
    applied: bool = False

    def plan(self, _: object) -> object:
        return self.planned

    def apply(self, _: object, saved: object) -> None:
        self.applied = True

    def landed(self, _: object, saved: object) -> bool:
        return True

    def lasts(self, _: object, saved: object) -> bool | None:
        return None

    def undo(self, _: object, saved: object) -> None:
        pass

    def undone(self, _: object, saved: object) -> bool:
        return False


@pytest.fixture(autouse=True)
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a run that is over has its journal."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return journals_dir() / f"{RUN}.jsonl"


@pytest.fixture
def undone_with(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What undo of any kind is given; it does nothing else."""
    given: list[object] = []
    for cls in registered().values():
        monkeypatch.setattr(cls, "undo", staticmethod(lambda _, saved: given.append(saved)))
        monkeypatch.setattr(cls, "undone", staticmethod(lambda *_: True))
    return given


def leave(path: Path, harm: Stays, cluster: Target | None = None) -> Pending:
    """The entry of a fault that could not be undone, as the next start finds it."""
    target: Any = cluster or Target()
    with (
        Journal(path) as journal,
        pytest.raises(FaultError, match="could not be undone"),
        inject(harm, target, journal, History(), undone_within_s=0),  # type: ignore[arg-type]
    ):
        pass
    (found,) = pending(path.parent)
    return found


def left_as(path: Path, kind: str, saved: Saved, ref: ClusterRef | None = None) -> Pending:
    """An entry that another version wrote, or that was damaged."""
    with Journal(path) as journal:
        journal.planned(kind, ref or Target().ref, saved)
    (found,) = pending(path.parent)
    return found


def some(hint: Any) -> Any:
    """A value of that type, with something of each type in it."""
    plain: Mapping[Any, Any] = {str: "w1", int: 7, float: 0.5, bool: True, bytes: b"\x00\xff"}
    if hint in plain:
        return plain[hint]
    if inspect.isclass(hint) and issubclass(hint, msgspec.Struct):
        return hint(*(some(each) for each in get_type_hints(hint).values()))
    if inspect.isclass(hint) and issubclass(hint, Enum):
        return next(iter(hint))
    inner = get_args(hint)
    if get_origin(hint) is tuple:
        return tuple(some(each) for each in (inner[:1] * 2 if inner[-1] is ... else inner))
    if get_origin(hint) is Mapping:
        return {some(inner[0]): some(inner[1])}
    assert inner[-1] is type(None), f"no value is known of the type {hint}"
    return some(inner[0])


# --- every fault there is


@pytest.mark.parametrize("kind", registered())
def test_each_step_takes_what_plan_returns(kind: str) -> None:
    cls = registered()[kind]
    taken = {step: inspect.signature(getattr(cls, step)).parameters["saved"].annotation for step in STEPS}
    assert taken == dict.fromkeys(STEPS, plan_type(cls))


@pytest.mark.parametrize("kind", registered())
def test_undo_has_after_a_crash_what_was_planned(kind: str, path: Path, undone_with: list[object]) -> None:
    planned = some(plan_type(registered()[kind]))
    assert undo_pending(leave(path, Stays(kind, planned)), Target())  # type: ignore[arg-type]
    assert undone_with == [planned]
    assert not pending(path.parent)


def test_the_nodes_in_a_plan_are_kept_as_the_machines_that_they_were(path: Path) -> None:
    sides = (LinkEnd("w1", "eth0", ("w2", "10.0.0.0/24"), 0), LinkEnd("w3", "eth0", (), 0))
    found = leave(path, Stays("bad-link", BadLinkPlan(sides, 0, 1.0)), Target(MEANT))
    assert found.cluster.identity is not None
    assert [node.name for node in found.cluster.identity.nodes] == ["w1", "w2", "w3"]


OLDER: list[tuple[str, Saved, str, object]] = [
    (
        "eat-handles",
        {"node": "w1", "handles": 9, "of": "kubelet", "targets": ["10.0.0.2:10250"], "open": 70},
        "processes",
        (),
    ),
    ("restore-snapshot", {"snapshot": "/s.db", "before": "before-1", "undo_bump": 10}, "controllers", ()),
    ("power-off", {"node": "w1", "address": None}, "was", ""),
    (
        "drop-priority",
        {"namespace": "n", "name": "d", "class": "system-node-critical", "priority": None},
        "priority_class",
        "system-node-critical",
    ),
]


@pytest.mark.parametrize(("kind", "saved", "field", "is_now"), OLDER)
def test_what_an_older_version_wrote_is_undone(
    kind: str, saved: Saved, field: str, is_now: object, path: Path, undone_with: list[object]
) -> None:
    assert undo_pending(left_as(path, kind, saved), Target())  # type: ignore[arg-type]
    (given,) = undone_with
    assert getattr(given, field) == is_now


# --- an entry that is no plan of its fault


UNFIT: dict[str, tuple[str, Saved, str]] = {
    "a field is missing": ("pause", {"nodes": ["w1"]}, "Object missing required field `node`"),
    "another type": ("stop-heartbeats", {"groups": "a"}, r"Expected `array`, got `str` - at `\$\.groups`"),
    "another type within": (
        "bad-link",
        {"sides": [{"node": 1, "device": "e", "peers": [], "queue_length": 0}], "rate_bits_per_s": 0, "loss": 1},
        r"Expected `str`, got `int` - at `\$\.sides\[0\]\.node`",
    ),
    "no base64": ("edit-etcd-behind", {"key": "/k", "was": "?", "edited": ""}, r"Invalid base64 .*at `\$\.was`"),
}


@pytest.mark.parametrize("what", UNFIT)
def test_an_entry_that_is_no_plan_of_its_fault_is_kept(what: str, path: Path, undone_with: list[object]) -> None:
    kind, saved, why = UNFIT[what]
    found = left_as(path, kind, saved)
    before = path.read_bytes()
    sentence = rf"^the entry 1 of the journal {path} is no plan of the fault {kind} \({why}.*\): undo it by hand, then "
    with pytest.raises(FaultError, match=rf"{sentence}`kube-ordeal undo --forget {RUN}:1`$"):
        undo_pending(found, Target())  # type: ignore[arg-type]
    assert undone_with == []
    assert path.read_bytes() == before


def test_an_entry_that_is_no_plan_keeps_no_other_from_being_undone(
    path: Path, undone_with: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    target = Target(MEANT, EXISTING)
    monkeypatch.setattr(existing, "attach_again", lambda *_: target)
    monkeypatch.setattr("chaos.run.undo.Access", lambda *_: Target(Identity()))
    with Journal(path) as journal:
        journal.planned("pause", target.ref, {"node": "w1"})
        journal.planned("pause", target.ref, {"node": None})
    handled = undo_all(lambda _: None, Permission(existing=True))
    assert [one.error.partition(" (")[0] for one in handled] == [
        f"the entry 2 of the journal {path} is no plan of the fault pause",
        "",
    ]
    assert [left.entry for left in pending(path.parent)] == [2]


# --- a fault that plans what no journal could give back


class Thawed(msgspec.Struct):
    node: str


class Frozen(msgspec.Struct, frozen=True):
    node: str


class Silent:
    kind = "made-up"

    def plan(self, _: object):  # type: ignore[no-untyped-def]
        return Frozen("w1")


class Untyped(Silent):
    def plan(self, _: object) -> Mapping[str, str]:
        return {"node": "w1"}


class NoStruct(Silent):
    def plan(self, _: object) -> dict:  # type: ignore[type-arg]
        return {"node": "w1"}


class Changeable(Silent):
    def plan(self, _: object) -> Thawed:
        return Thawed("w1")


class Unresolved(Silent):
    def plan(self, _: object) -> "OnlyForTheTypeChecker":  # type: ignore[name-defined]  # noqa: F821
        return Frozen("w1")


class Planless:
    kind = "made-up"


class Believed:
    """A fault of before: nobody can ask whether its harm is still there."""

    kind = "made-up"

    def plan(self, _: object) -> Frozen:
        return Frozen("w1")


def test_a_fault_that_does_not_say_whether_it_lasts_is_not_registered() -> None:
    sentence = f"^the fault 'made-up' in {__file__} does not say whether its harm is still there: give Believed "
    with pytest.raises(FaultError, match=sentence):
        fault(Believed)  # type: ignore[type-var]


@pytest.mark.parametrize("cls", [Silent, Untyped, NoStruct, Changeable, Unresolved, Planless])
def test_a_fault_whose_plan_is_no_frozen_struct_is_not_registered(cls: Any) -> None:
    sentence = f"^the fault 'made-up' in {__file__} has no plan that can be read back from a journal: "
    with pytest.raises(FaultError, match=rf"{sentence}let {cls.__name__}\.plan return a frozen msgspec\.Struct, .*$"):
        fault(cls)
    assert "made-up" not in registered()


@pytest.fixture
def journal(path: Path) -> Iterator[Journal]:
    with Journal(path) as made:
        yield made


@pytest.mark.parametrize("node", [None, 1, object()])
def test_a_plan_that_is_not_what_its_struct_says_is_refused_before_any_harm(node: object, journal: Journal) -> None:
    harm, history = Stays("made-up", Frozen(node)), History()  # type: ignore[arg-type]
    target: Any = Target()
    with (
        pytest.raises(FaultError, match=rf"^the fault made-up is not injected: .* mend its plan in {__file__}$"),
        inject(harm, target, journal, history),  # type: ignore[arg-type]
    ):
        pass
    assert not harm.applied
    assert not journal.path.read_bytes()
    assert not list(history.of(FaultStep))
