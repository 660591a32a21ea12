"""The suites as they come with this distribution: where they are, and which incidents they replay."""

import importlib.util
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path, PurePosixPath
from types import ModuleType
from typing import TYPE_CHECKING

from chaos.errors import OrdealError
from chaos.hosts.places import suites_dir
from chaos.judge.catalogue import Incident, incidents
from chaos.judge.catalogue import find as find_incident
from chaos.run.incident import HARDENED, Replay, replay_of
from chaos.run.profile import PROFILES
from chaos.run.promised import Conditions

if TYPE_CHECKING:
    from chaos.run.lab import Lab

PREFLIGHT = "preflight"  # the folder of the suites that look before anything is harmed


def is_preflight(nodeid: str) -> bool:
    """Whether a test, by its pytest node id, is of the suites that look before anything is harmed."""
    return PREFLIGHT in PurePosixPath(nodeid.split("::", 1)[0]).parts


@dataclass(frozen=True, slots=True)
class Suite:
    """One suite function: its pytest node id below the suites folder, what it replays, and the function itself."""

    test: str
    replay: Replay
    function: "Callable[[Lab], None]" = field(repr=False, compare=False)


def suites(directory: Path | None = None) -> tuple[Suite, ...]:
    """Every suite function, by file and then as written. Raises OrdealError for a file that can't be imported."""
    root = directory or suites_dir()
    found = []
    for path in sorted(root.rglob("test_*.py")):
        for name, function in vars(_import(path, root)).items():
            replay = replay_of(function)
            if replay is not None:
                found.append(Suite(f"{path.relative_to(root)}::{name}", replay, function))
    return tuple(found)


def replays() -> dict[str, Replay]:
    """The replays of this distribution, by their test below the suites folder."""
    return {suite.test: suite.replay for suite in suites()}


def named(nodeid: str, known: Iterable[str]) -> str:
    """Which of the tests of `replays` a pytest node id names; empty where it names none of them."""
    test = nodeid.partition("[")[0]
    return next((each for each in known if test == each or test.endswith(f"/{each}")), "")


def case_of(nodeid: str, known: Iterable[str]) -> str:
    """The test that a pytest node id names, with its variant: what its durations are kept by. Empty as `named` is."""
    test = named(nodeid, known)
    return f"{test}[{nodeid.partition('[')[2]}" if test else ""


def by_incident(directory: Path | None = None) -> dict[Incident, tuple[Suite, ...]]:
    """The catalogue, and for each incident the suites that replay it (none where it has no suite yet)."""
    there = suites(directory)
    return {each: tuple(s for s in there if s.replay.incident == each) for each in incidents()}


def promised_by(there: Iterable[Suite]) -> dict[str, frozenset[str]]:
    """The promises that these suites make, by their invariants' names, in the order in which they are made; each with
    the variants (HARDENED, or a control's id) whose replays are judged by it.
    """
    found: dict[str, set[str]] = {}
    for suite in there:
        replay = suite.replay
        for variant in (HARDENED, *replay.controls):
            for cluster, profile in product(replay.on, PROFILES.values()):
                told = Conditions(variant or None, cluster, profile)
                for each in replay.promises(told) if replay.promises is not None else ():
                    for promise in each.by:
                        found.setdefault(promise.invariant, set()).add(variant)
    return {invariant: frozenset(variants) for invariant, variants in found.items()}


def find(incident: str, variant: str | None, control: str, directory: Path | None = None) -> Suite:
    """The function that replays an incident in a control (HARDENED for none). `variant` tells apart several functions;
    without it the first that has the control. Raises OrdealError that names what there is.
    """
    find_incident(incident)
    own = [each for each in suites(directory) if each.replay.incident.id == incident]
    there = [each for each in own if variant in {None, each.replay.variant}]
    if not there:
        named = ", ".join(repr(each.replay.variant) for each in own) or "none"
        raise OrdealError(f"{incident} has no replay {variant!r}; there are: {named}")
    for each in there:
        if control in {HARDENED, *each.replay.controls}:
            return each
    known = ", ".join(dict.fromkeys(c for each in there for c in each.replay.controls)) or "none"
    where = f"the replay {variant!r} of {incident}" if variant is not None else incident
    raise OrdealError(f"{where} has no control {control!r}; there are: {known}")


def _import(path: Path, root: Path) -> ModuleType:
    name = "_kube_ordeal_suites." + ".".join(path.relative_to(root).with_suffix("").parts)
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise OrdealError(f"the suite {path} is no Python module")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses in a suite look their module up
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise OrdealError(f"the suite {path} can't be imported: {error!r}") from error
    return module
