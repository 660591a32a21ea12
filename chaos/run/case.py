"""A case: what pytest makes one test of, a suite's function on one kind of cluster, hardened or in a control."""

from dataclasses import dataclass

import pytest

from chaos.clusters.base import EXISTING, KIND, SIMULATED
from chaos.run.incident import HARDENED, SHAPES, Load, Replay, replay_of
from chaos.run.options import Options
from chaos.run.pool import PROVIDERS
from chaos.run.suites import is_preflight

AUTO = "auto"
ORDER = (SIMULATED, KIND, EXISTING)  # the cheapest first, so that the first verdict comes early
FIXTURE = "lab"


@dataclass(frozen=True, slots=True)
class Case:
    """One replay: a suite function on one kind of cluster, hardened (`control` is None) or in a control."""

    cluster: str
    control: str | None

    def __str__(self) -> str:
        return f"{self.cluster}-{'control:' + self.control if self.control else 'hardened'}"


def of_item(item: pytest.Item) -> Case | None:
    """The case that a test is; None where it replays nothing."""
    callspec = getattr(item, "callspec", None)
    found = callspec.params.get(FIXTURE) if callspec else None
    return found if isinstance(found, Case) else None


def replay_of_item(item: pytest.Item) -> Replay | None:
    """What a test replays, if anything."""
    return replay_of(getattr(item, "function", None))


def parametrize(metafunc: pytest.Metafunc, replay: Replay, options: Options) -> None:
    """A function becomes a test for each kind of cluster that it is made for, hardened and in each control."""
    controls = [None, *replay.controls] if options.controls else [None]
    params = [
        pytest.param(Case(kind, control), id=str(Case(kind, control)))
        for kind in kinds(replay, options.cluster)
        for control in controls
    ]
    if not params:
        reason = why_not(replay, options.cluster)
        kind = EXISTING if options.cluster == AUTO else options.cluster
        params = [pytest.param(Case(kind, None), id=options.cluster, marks=pytest.mark.skip(reason=reason))]
    metafunc.parametrize(FIXTURE, params, indirect=True)


def rank(item: pytest.Item) -> tuple[int, bool, int]:
    """Where in the order of a run a test is: the cheapest cluster first, preflight first on it, then shape by shape.

    What replays nothing comes before all of it, and among itself stays as it was.
    """
    case, replay = of_item(item), replay_of_item(item)
    if case is None or replay is None:
        return -1, False, 0
    return ORDER.index(case.cluster), not is_preflight(item.nodeid), SHAPES.index(replay.shape)


def is_on_tour(item: pytest.Item) -> bool:
    """Whether it is one of the small choice of replays."""
    case, replay = of_item(item), replay_of_item(item)
    return case is not None and replay is not None and (case.control or HARDENED) in replay.tour


def is_alone_again(item: pytest.Item, after: pytest.Item | None) -> bool:
    """Whether what comes after a test wants the machine alone, on a cluster like this one's."""
    if after is None:
        return False
    (this_case, next_case), (this, following) = map(of_item, (item, after)), map(replay_of_item, (item, after))
    if this_case is None or next_case is None or this is None or following is None:
        return False
    return following.load is Load.ALONE and (this_case.cluster, this.shape) == (next_case.cluster, following.shape)


def kinds(replay: Replay, choice: str) -> list[str]:
    """The kinds of cluster on which a replay is run, by what the user chose; none where it is not made for that."""
    if choice == AUTO:
        return sorted({*replay.on} - {EXISTING}, key=ORDER.index)
    if choice == EXISTING:
        return [EXISTING] if {KIND, EXISTING} & {*replay.on} else []
    return [choice] if choice in replay.on else []


def why_not(replay: Replay, choice: str) -> str:
    """Why that is, naming what it is made for."""
    provider = PROVIDERS.get(choice)
    lacking = [need.__name__ for need in replay.needs if provider is not None and not issubclass(provider, need)]
    if lacking:
        return f"{replay.incident.id} needs {', '.join(lacking)}, which {choice} clusters do not have"
    if replay.on == (EXISTING,):
        return f"{replay.incident.id} is made for a cluster of your own: --ordeal-cluster existing"
    return f"this replay of {replay.incident.id} is made for {' and '.join(replay.on)} clusters"
