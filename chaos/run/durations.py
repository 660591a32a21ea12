"""How long replays, clusters and builds took on this machine; for what it has not done yet, figures that are shipped.

They are kept in the state folder, not with results, which somebody prunes. Each has its last few figures, and of three
or more the longest but one is the estimate: a budget promises an end, so it counts on a slow day, but a single replay
that took four times as long beside a build would fill a budget of 15 min with what is over in 8. The shipped ones
(durations.json beside this module, of the same form) were measured on 2 cores beside other work, rounded up.
"""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path

from chaos.basics.files import place
from chaos.basics.untrusted import json_file
from chaos.clusters.base import SIMULATED
from chaos.errors import OrdealError
from chaos.hosts.lock import locked
from chaos.hosts.places import state_dir
from chaos.run.incident import DENSE, PLAIN, STATEFUL

VERSION = 1
KEPT = 5
_TELL_OUTLIER = 3  # with so many figures, one that is far off is told from the others
FILE = "durations.json"
SHIPPED_PATH = Path(__file__).with_name(FILE)
SMOKE = "smoke"  # the profile that the shipped ones are of
# Where nothing at all is known, in seconds: a generous guess. The replays of the first four incidents, whose clusters
# are plain, took 68 s each; those with hundreds of pods or three databases took up to 480 s.
_UNKNOWN_REPLAY_S = {PLAIN: 120.0, DENSE: 240.0, STATEFUL: 300.0}
_UNKNOWN_SIMULATED_S, _UNKNOWN_CLUSTER_S, _UNKNOWN_BUILD_S = 20.0, 90.0, 300.0
_UNKNOWN_SPECS_S = 60.0
# The profile `full` waits for the shipped timers where `smoke` shortens them (grace period 50 s for 16, toleration
# 300 s for 12), and repeats what can fail by chance 10 times instead of 3.
_FULL_MORE_S, _FULL_TIMES = 322.0, 10 / 3


def replay_key(test: str, profile: str, kubernetes: str) -> str:
    """`test`: the node id below the suites folder, with the variant; `kubernetes`: of its version the minor counts."""
    return f"replay {profile} {'.'.join(kubernetes.split('.')[:2])} {test}"


def cluster_key(kind_of: str, shape: str) -> str:
    """Making a cluster of that kind, for replays of that shape (chaos.run.incident), in the place of another one."""
    return f"cluster {kind_of} {shape}"


def specs_key(kubernetes: str) -> str:
    """Upstream's quick specs after a replay."""
    return f"specs {'.'.join(kubernetes.split('.')[:2])}"


def build_key(what: str) -> str:
    """Building something: "mutant NAME", "image NAME", or a step of set-up (chaos.setup.steps.SetupStep.what)."""
    return f"build {what}"


@dataclass(frozen=True, slots=True)
class Durations:
    """What is known at one moment. `own` and `shipped`: seconds by key, the newest last."""

    own: Mapping[str, Sequence[float]] = field(default_factory=dict)
    shipped: Mapping[str, Sequence[float]] = field(default_factory=dict)

    def replay_s(self, test: str, shape: str, profile: str, kubernetes: str) -> float:
        """How long a replay takes on a cluster that is there: as here, as here on another version, as shipped."""
        here = self.own.get(replay_key(test, profile, kubernetes)) or _of_any_version(self.own, profile, test)
        if here:
            return _slow_day_s(here)
        smoke_s = _slow_day_s(_of_any_version(self.shipped, SMOKE, test) or (_UNKNOWN_REPLAY_S[shape],))
        return smoke_s if profile == SMOKE else max(smoke_s + _FULL_MORE_S, smoke_s * _FULL_TIMES)

    def cluster_s(self, kind_of: str, shape: str) -> float:
        """How long it takes to make a cluster in the place of the one before."""
        default_s = _UNKNOWN_SIMULATED_S if kind_of == SIMULATED else _UNKNOWN_CLUSTER_S
        return self._kept_or(cluster_key(kind_of, shape), default_s)

    def specs_s(self, kubernetes: str) -> float:
        """How long upstream's quick specs take after a replay."""
        return self._kept_or(specs_key(kubernetes), _UNKNOWN_SPECS_S)

    def build_s(self, what: str) -> float:
        """How long a build takes; see `build_key`."""
        return self._kept_or(build_key(what), _UNKNOWN_BUILD_S)

    def _kept_or(self, key: str, default_s: float) -> float:
        return _slow_day_s(self.own.get(key) or self.shipped.get(key) or (default_s,))


def load() -> Durations:
    """What this machine has kept, and what is shipped. A file that is damaged or of another version counts as none."""
    own: dict[str, tuple[float, ...]] = {}
    with suppress(OrdealError):  # there is no state folder: the run that has to write there will say so
        own = _read(_path())
    return Durations(own, _read(SHIPPED_PATH))


def record(key: str, took_s: float) -> None:
    """Keep one more figure. What can't be written is not kept: no verdict hangs on it."""
    with suppress(OSError, OrdealError):
        path = _path()
        with locked(path.with_suffix(".lock")):
            known = _read(path)
            known[key] = (*known.get(key, ())[1 - KEPT :], round(took_s, 1))
            place(path, json.dumps({"version": VERSION, "took_s": known}, indent=1, sort_keys=True) + "\n")


def _slow_day_s(figures: Sequence[float]) -> float:
    """What one figure of a day that was slower still does not move; of one or two, the longest."""
    return sorted(figures)[-2 if len(figures) >= _TELL_OUTLIER else -1]


def _path() -> Path:
    return state_dir() / FILE


def _of_any_version(known: Mapping[str, Sequence[float]], profile: str, test: str) -> list[float]:
    start, end = f"replay {profile} ", f" {test}"
    return [s for key, figures in known.items() if key.startswith(start) and key.endswith(end) for s in figures]


def _read(path: Path) -> dict[str, tuple[float, ...]]:
    try:
        content = json_file(path)
    except (OSError, ValueError):
        return {}
    if not isinstance(content, dict) or content.get("version") != VERSION:
        return {}
    took_s = content.get("took_s")
    return (
        {k: tuple(map(float, took)) for k, took in took_s.items() if _sound(took)} if isinstance(took_s, dict) else {}
    )


def _sound(took: object) -> bool:
    if not isinstance(took, list) or not took:
        return False
    return all(isinstance(s, int | float) and not isinstance(s, bool) and isfinite(s) and s >= 0 for s in took)
