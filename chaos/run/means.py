"""What a run has for each of its replays: clusters, journal, its share of the machine, and what the user named."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from chaos.record.journal import Journal
from chaos.run.guard import Anything, Consents
from chaos.run.own import Own
from chaos.run.pool import Pool
from chaos.run.profile import Profile
from chaos.run.turn import Turn


@dataclass(frozen=True, slots=True)
class Means:
    """`run`: its id. `report` says a line of what goes on. `images` are those that the user named, by the workload's
    name; so are `storage_class` and `upgrade_to`. `own`: what the user brings. `turn` is this process's share of the
    machine, where other processes of the run replay at the same time. `consents`: who is asked before harm is done.
    """

    run: str
    profile: Profile
    pool: Pool
    journal: Journal
    report: Callable[[str], None]
    images: Mapping[str, str] = field(default_factory=dict)
    storage_class: str = ""
    upgrade_to: str = ""
    own: Own = field(default_factory=Own)
    turn: Turn | None = None
    consents: Consents = field(default_factory=Anything)
