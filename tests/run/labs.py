"""A lab on a run that has no cluster, unless a test gives it one."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from chaos.clusters.base import SIMULATED
from chaos.judge.catalogue import Control, Incident
from chaos.run.case import Case
from chaos.run.hook import Hook, Nothing
from chaos.run.incident import Replay
from chaos.run.lab import Lab
from chaos.run.means import Means
from chaos.run.own import Own
from chaos.run.profile import PROFILES
from chaos.run.promised import Judged

BAD = Control("bad", "a known-bad one", breaks="kept", because="broken")
INCIDENT = Incident("made-up", "", "", "", "", "", "", controls=(BAD,))


def story(promises: tuple[Judged, ...] = ()) -> Replay:
    """Of an incident that nobody had."""
    return Replay(INCIDENT, (SIMULATED,), (), (BAD.id,), "small", promises=lambda _: promises)


def a_lab(
    folder: Path,
    told: Replay,
    *,
    on: str = SIMULATED,
    control: str | None = None,
    is_suite: bool = True,
    pool: Any = None,
    journal: Any = None,
    turn: Any = None,
    images: Mapping[str, str] | None = None,
    around: Hook = Nothing,
    own: Own | None = None,
) -> Lab:
    """`pool`, `journal` and `turn`: what stands for them; None where the test comes to none of them."""
    brought = own or Own()
    means = Means("run", PROFILES["smoke"], pool, journal, lambda _: None, images=images or {}, turn=turn, own=brought)
    return Lab(told, Case(on, control), folder, means, is_suite=is_suite, around=around)
