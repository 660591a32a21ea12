"""Control planes that are a fake at the boundary: which are stopped and started, and what is refused before."""

from typing import Any

import pytest

from chaos.clusters.abilities import ControlPlaneSwap
from chaos.clusters.base import ClusterRef
from chaos.errors import OrdealError
from chaos.harm.control_plane import ReplaceControlPlane, StopControllerManager


class FakeControlPlanes:
    """Two control planes and a controller manager that can run or not."""

    ref = ClusterRef("fake", "fake", "")

    def __init__(self) -> None:
        self.first, self.second, self.manager = True, False, True

    def stop_first_control_plane(self) -> None:
        self.first = False

    def first_control_plane_running(self) -> bool:
        return self.first

    def start_first_control_plane(self) -> None:
        self.first = True

    def start_second_control_plane(self, timers: object, controllers: str) -> Any:
        self.second = True

    def stop_second_control_plane(self) -> None:
        self.second = False

    def second_control_plane_running(self) -> bool:
        return self.second

    def second_api(self) -> Any: ...

    def stop_controller_manager(self) -> None:
        self.manager = False

    def start_controller_manager(self) -> None:
        self.manager = True

    def controller_manager_running(self) -> bool:
        return self.manager


def test_a_swap_is_refused_where_the_first_does_not_run_alone() -> None:
    planes = FakeControlPlanes()
    assert isinstance(planes, ControlPlaneSwap)
    planes.second = True
    with pytest.raises(OrdealError, match="does not run alone"):
        ReplaceControlPlane().plan(planes)  # type: ignore[arg-type]


def test_a_swap_has_not_landed_while_the_first_runs() -> None:
    planes = FakeControlPlanes()
    assert not ReplaceControlPlane().landed(planes, {"leader": "x"})  # type: ignore[arg-type]
    planes.first = False
    assert not ReplaceControlPlane().landed(planes, {"leader": "x"})  # type: ignore[arg-type]


def test_the_undo_of_a_swap_starts_the_first_and_stops_the_second() -> None:
    planes = FakeControlPlanes()
    ReplaceControlPlane().apply(planes, {"leader": "x"})  # type: ignore[arg-type]
    assert (planes.first, planes.second) == (False, True)
    assert not ReplaceControlPlane.undone(planes, {"leader": "x"})  # type: ignore[arg-type]
    ReplaceControlPlane.undo(planes, {"leader": "x"})  # type: ignore[arg-type]
    assert (planes.first, planes.second) == (True, False)


def test_the_controller_manager_is_kept_away_and_let_in_again() -> None:
    planes: Any = FakeControlPlanes()
    harm = StopControllerManager()
    saved = harm.plan(planes)
    assert not harm.landed(planes, saved)
    harm.apply(planes, saved)
    assert harm.landed(planes, saved)
    with pytest.raises(OrdealError, match="does not run"):
        harm.plan(planes)
    harm.undo(planes, saved)
    assert harm.undone(planes, saved)
