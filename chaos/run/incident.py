"""How a suite function says which incident it replays, where, and with which controls."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeVar

from chaos.errors import OrdealError
from chaos.hosts.parts import Part
from chaos.judge.catalogue import Incident, find
from chaos.run.mark import REPLAY
from chaos.run.promised import Promises

F = TypeVar("F", bound=Callable[..., None])
# What a replay's cluster is like, in the order in which they are run: a cluster is made anew where the shape changes.
PLAIN, DENSE, STATEFUL = "plain", "dense", "stateful"
SHAPES = (PLAIN, DENSE, STATEFUL)
HARDENED = ""  # where a control's id is expected: the variant that must hold
_GIB = 1024**3
# What a run with one cluster of that shape takes at the most, nodes and workloads together.
_MEMORY_BYTES = {PLAIN: 3 * _GIB, DENSE: 7 * _GIB, STATEFUL: 5 * _GIB}


class Load(StrEnum):
    """What a replay asks of the machine's processors, and so what may go on beside it.

    `waits`: it waits for grace periods most of the time; others that wait may run beside it, and a build that yields.
    `works`: it starts pods or servers by the dozen; one that waits may run beside it, but no build.
    `alone`: it measures what others would disturb, or takes all processors on purpose.
    """

    WAITS = "waits"
    WORKS = "works"
    ALONE = "alone"


@dataclass(frozen=True, slots=True)
class Replay:
    """What a suite function replays: the incident, on which kinds of cluster, the abilities it needs, its controls.

    `host`: the parts of this machine that its faults use, beside those that go with its abilities and its shape
    (chaos.run.obstacles). `shape`: one of SHAPES, so that replays whose clusters are alike are run one after the other.
    `load`: what may run beside it. `mutants`: the mutants that a variant runs, by control (HARDENED for none), and
    `images`: the workloads (chaos.hosts.workload_recipes) whose images all variants run; both are built when they are
    first needed.
    `faults`: the classes of those that a variant does beside what its promises name, by control: what its story
    configures (`Lab.configured`), and harm in recordings that it judges in its own way.
    `tour`: the variants, by control, that are part of the tour. `extras`: those of chaos.hosts.extras that it
    takes, beside what its cluster takes. `specs`: whether its story runs upstream's conformance specs. `promises`: what
    it is judged by (chaos.run.promised); None where nobody has declared it, and then nobody else can tell whether all
    of it was judged.
    """

    incident: Incident
    on: tuple[str, ...]
    needs: tuple[type, ...]
    controls: tuple[str, ...]
    variant: str
    shape: str = PLAIN
    load: Load = Load.WAITS
    mutants: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    images: tuple[str, ...] = ()
    tour: tuple[str, ...] = ()
    host: tuple[Part, ...] = ()
    extras: tuple[str, ...] = ()
    specs: bool = False
    promises: Promises | None = None
    faults: Mapping[str, tuple[type, ...]] = field(default_factory=dict)

    @property
    def memory_bytes(self) -> int:
        """What a run that replays this takes of the machine's memory at the most."""
        return _MEMORY_BYTES[self.shape]


def incident(
    incident_id: str,
    *,
    on: Sequence[str],
    needs: Sequence[type] = (),
    controls: Sequence[str] = (),
    variant: str = "",
    shape: str = PLAIN,
    load: Load = Load.WAITS,
    mutants: Mapping[str, Sequence[str]] | None = None,
    images: Sequence[str] = (),
    tour: Sequence[str] = (),
    host: Sequence[Part] = (),
    extras: Sequence[str] = (),
    specs: bool = False,
    promises: Promises | None = None,
    faults: Mapping[str, Sequence[type]] | None = None,
) -> Callable[[F], F]:
    """Mark a suite function as the replay of an incident. It is run hardened and, for each control, in that control.

    `on`: "kind", "simulated"; what is made for kind is replayed on an existing cluster too, and "existing" alone there
    alone. `variant` tells apart several functions of one incident. `shape` is DENSE or STATEFUL
    where it asks for dense_shape or stateful_shape (chaos.clusters.base). The rest is as `Replay` has it. Raises
    OrdealError where the catalogue does not know the incident or one of the controls, or `mutants`, `faults` or `tour`
    name a variant that the function is not run in.
    """
    found = find(incident_id)
    for control in controls:
        found.control(control)
    needed = {control: tuple(names) for control, names in (mutants or {}).items()}
    done = {control: tuple(classes) for control, classes in (faults or {}).items()}
    for variant_id in (*needed, *done, *tour):
        if variant_id not in {HARDENED, *controls}:
            raise OrdealError(f"{incident_id} is not run in the variant {variant_id!r} here")

    def mark(function: F) -> F:
        replay = Replay(
            found,
            tuple(on),
            tuple(needs),
            tuple(controls),
            variant,
            shape,
            load,
            needed,
            tuple(images),
            tuple(tour),
            tuple(host),
            tuple(extras),
            specs,
            promises,
            done,
        )
        setattr(function, REPLAY, replay)
        return function

    return mark


def replay_of(function: object) -> Replay | None:
    """What a suite function replays, or None for an ordinary test."""
    found = getattr(function, REPLAY, None)
    return found if isinstance(found, Replay) else None
