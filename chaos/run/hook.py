"""What goes on around a replay beside its story hooks in here: upstream's specs do (chaos.conformance.around)."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, Protocol

from chaos.clusters.base import Cluster
from chaos.errors import OrdealError
from chaos.harm.base import Fault
from chaos.judge.base import Invariant
from chaos.record.history import History
from chaos.record.records import Phase
from chaos.results.specs import SpecResult
from chaos.run.stage import Workload
from chaos.workloads.web import Deployed


class CantRunSpecsError(OrdealError):
    """Specs can't be run here: the cluster runs no pods, or e2e.test of its version is not there."""


class Around(Protocol):
    """Specs before a replay, during its harm and after it, as far as they were wished, and what became of them."""

    not_run: str  # why not, where they were wished and could not be run
    left: str  # what they have made and did not go from the cluster

    @property
    def wished(self) -> bool:
        """Whether any round was wished."""
        ...

    @property
    def results(self) -> tuple[SpecResult, ...]:
        """What became of each spec so far."""
        ...

    @property
    def names(self) -> tuple[str, ...]:
        """The whole names of the specs that were run last; none where none were."""
        ...

    def lacking(self, version: str, /) -> str:
        """Why none can be run on clusters of that version; "" where they can."""
        ...

    def check(self, version: str, /) -> None:
        """The cluster will have that version after the harm. Raises CantRunSpecsError where specs were asked for then,
        and can't be run.
        """
        ...

    def due(self, when: str, /) -> bool:
        """Whether that round was wished, and nothing is known yet of why it could not be run."""
        ...

    def around(self, cluster: Cluster, when: str, /) -> bool:
        """Run them now, where that is due, into a history of their own; whether they were run. Raises OrdealError."""
        ...

    def in_story(self, cluster: Cluster, when: str, history: History, /) -> tuple[str, ...]:
        """The story runs them itself, and then none are run around it. Returns their names.

        Raises CantRunSpecsError where they can't be run here, OrdealError for what is wrong before the first spec.
        """
        ...

    def during(
        self, harm: Fault[Any], cluster: Cluster, history: History, deploy: Callable[[Workload], Deployed], /
    ) -> AbstractContextManager[None]:
        """Check, for the block's length, what is documented to go on while this harm lasts."""
        ...

    def judged_by(self) -> Sequence[tuple[History, Invariant]]:
        """What each history is to be judged by: nothing where nothing was run."""
        ...

    def close(self) -> Path | None:
        """The history of their own is whole: where it is; None where there is none."""
        ...


# Made for each replay of its folder and of what a recording of it begins with.
Hook = Callable[[Path, Phase], Around]


class Nothing:
    """Nothing goes on around it."""

    not_run = left = ""
    wished = False
    results: tuple[SpecResult, ...] = ()
    names: tuple[str, ...] = ()

    def __init__(self, _directory: Path, _beginning: Phase) -> None: ...

    def lacking(self, version: str) -> str:
        return f"no specs can be run on clusters of {version} by this lab"

    def check(self, _version: str) -> None: ...

    def due(self, _when: str) -> bool:
        return False

    def around(self, _cluster: Cluster, _when: str) -> bool:
        return False

    def in_story(self, _cluster: Cluster, _when: str, _history: History) -> tuple[str, ...]:
        raise CantRunSpecsError("no specs can be run by this lab")

    def during(
        self, _harm: Fault[Any], _cluster: Cluster, _history: History, _deploy: Callable[[Workload], Deployed]
    ) -> AbstractContextManager[None]:
        return nullcontext()

    def judged_by(self) -> Sequence[tuple[History, Invariant]]:
        return ()

    def close(self) -> Path | None:
        return None
