"""How harm is done and taken back: on disk before it is done, undone whatever happens, looked at where it fails."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest

from chaos.clusters.base import ClusterRef, NodePower
from chaos.harm.base import FaultError, inject
from chaos.record.history import FaultStep, History
from chaos.record.journal import Journal, Saved
from chaos.record.journal import _pending_in as pending_in

CLUSTER: Any = SimpleNamespace(ref=ClusterRef("kind", "ordeal", "/k", "kind-ordeal"))


@dataclass
class Harm:
    """Harm that does as it is told, and keeps what was done to it."""

    path: Path
    lands: bool = True
    goes: bool = True
    breaks: bool = False
    done: list[str] = field(default_factory=list)
    kind: ClassVar[str] = "made-up"
    needs: ClassVar[tuple[type, ...]] = ()

    def plan(self, _: object) -> Saved:
        return {"it": 1}

    def apply(self, _: object, saved: Saved) -> None:
        self.done.append(f"applied with {len(pending_in(self.path))} on disk")
        if self.breaks:
            raise OSError("it broke")

    def landed(self, _: object, saved: Saved) -> bool:
        return self.lands

    def undo(self, _: object, saved: Saved) -> None:
        self.done.append("undone")

    def undone(self, _: object, saved: Saved) -> bool:
        return self.goes


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with Journal(tmp_path / "run.jsonl") as made:
        yield made


def harmed(harm: Any, journal: Journal, body: str = "") -> History:
    """Inject it for a block that does nothing, or fails with `body`."""
    history = History()
    why = lambda: harm.done.append("evidence")  # noqa: E731
    with inject(harm, CLUSTER, journal, history, landing_within_s=0.05, undone_within_s=0.05, not_landed=why):
        harm.done.append("block")
        if body:
            raise RuntimeError(body)
    return history


def test_it_is_on_disk_before_it_is_done_and_off_it_once_it_is_taken_back(journal: Journal) -> None:
    harm = Harm(journal.path)
    history = harmed(harm, journal)
    assert harm.done == ["applied with 1 on disk", "block", "undone"]
    assert [s.step for s in history.of(FaultStep)] == ["planned", "applied", "landed", "undoing", "undone"]
    assert pending_in(journal.path) == []


@pytest.mark.parametrize("how", [{"lands": False}, {"breaks": True}])
def test_what_did_not_land_is_looked_at_and_then_undone(journal: Journal, how: dict[str, bool]) -> None:
    harm = Harm(journal.path, **how)
    with pytest.raises(FaultError, match="the fault made-up did not land"):
        harmed(harm, journal)
    assert harm.done == ["applied with 1 on disk", "evidence", "undone"]
    assert pending_in(journal.path) == []


def test_it_is_taken_back_where_the_story_breaks(journal: Journal) -> None:
    harm = Harm(journal.path)
    with pytest.raises(RuntimeError, match="in the middle"):
        harmed(harm, journal, "in the middle")
    assert harm.done[-1] == "undone"
    assert pending_in(journal.path) == []


def test_what_can_not_be_taken_back_stays_in_the_journal(journal: Journal) -> None:
    harm = Harm(journal.path, goes=False)
    with pytest.raises(FaultError, match=r"could not be undone .* run `kube-ordeal undo`"):
        harmed(harm, journal)
    (left,) = pending_in(journal.path)
    assert (left.kind, left.saved) == ("made-up", {"it": 1})


def test_a_cluster_that_lacks_an_ability_is_not_touched(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    harm = Harm(journal.path)
    monkeypatch.setattr(Harm, "needs", (NodePower,))
    with pytest.raises(FaultError, match="made-up needs a cluster with "):
        harmed(harm, journal)
    assert harm.done == []
    assert pending_in(journal.path) == []
