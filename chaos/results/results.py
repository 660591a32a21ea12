"""The results of a run: results/<run>/results.json and junit.xml, written anew as it happens; results/latest beside.

What stands in the file is defined by results.schema.json beside this module.
"""

import os
import platform
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from math import isfinite
from pathlib import Path
from typing import Any

from chaos.basics.clock import unix_s
from chaos.basics.files import opened, place, place_link
from chaos.basics.scrub import scrubbed
from chaos.basics.untrusted import RESULTS, bounded, json_of, json_text
from chaos.errors import OrdealError
from chaos.hosts.lock import locked
from chaos.hosts.ownership import will_write
from chaos.hosts.places import APP, make_private
from chaos.judge.base import Finding, Verdict
from chaos.judge.catalogue import incidents
from chaos.record.evidence import Piece
from chaos.record.lines import as_proof
from chaos.results import junit, specs
from chaos.results.saved import LATEST, LeftOut, SavedPlan, of_json
from chaos.results.saved import Row as Row  # noqa: PLC0414  (suites take it from here)
from chaos.results.schema import SCHEMA as SCHEMA  # noqa: PLC0414
from chaos.results.specs import SpecResult

_Content = dict[str, Any]  # the file as JSON has it; it does not leave this module
# What is found by its name, or judged by again, is written as it is: no cluster and no program has said it.
_NAMES = frozenset(
    {
        *("run", "test", "id", "spec", "replay", "control", "promise", "arguments", "history", "histories"),
        *("path", "output", "pods", "catalogue", "kind", "object"),
    }
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came out of one replay: an incident, in one variant, on one cluster.

    `variant` is "hardened" or "control" (`control` then names it). `passed`: hardened held; a control was violated
    in the invariant and for the reason it names. `why` is the sentence for a reader.
    """

    id: str
    variant: str
    control: str
    test: str
    cluster: str
    kubernetes: str
    profile: str
    verdict: Verdict
    passed: bool
    why: str
    duration_s: float
    replay: str = ""  # tells apart several replays of one incident
    findings: Sequence[Finding] = ()
    cluster_facts: Mapping[str, str] = field(default_factory=dict)
    facts: Mapping[str, str | int | float] = field(default_factory=dict)
    tables: Mapping[str, Sequence[Row]] = field(default_factory=dict)
    histories: Sequence[Path] = ()
    evidence: Sequence[Piece] = ()


class Results:
    """Collects outcomes and keeps the files on disk up to date. Several processes of one run may add to them."""

    def __init__(self, root: Path, run: str, facts: Mapping[str, str]) -> None:
        """Make results/<run> and point `latest` at it. Raises OrdealError where that can't be written."""
        self.directory = root / run
        will_write(root.absolute())
        try:
            self._attachments_from = junit.attachments_root()
            make_private(self.directory)
            with self._locked():
                if not self.path.exists():
                    place_link(root / LATEST, run)
                    self._write(_empty(run, facts))
        except OSError as error:
            raise self._unwritable(error) from error

    def begin(
        self, test: str, incident: str, *, cluster: str, profile: str, control: str = "", replay: str = ""
    ) -> None:
        """A replay begins: until it is added or skipped the file says that it has no verdict. Raises OrdealError."""
        entry = {
            "id": incident,
            **({"replay": replay} if replay else {}),
            "variant": "control" if control else "hardened",
            **({"control": control} if control else {}),
            "test": test,
            "cluster": cluster,
            "profile": profile,
            "started": _now(),
        }
        self._change(lambda content: content["running"].append(entry))

    def add(self, outcome: Outcome, *, instead: bool = False) -> None:
        """Take an outcome; on disk when this returns. `instead`: of the one that this test has, if it has one.

        Raises OrdealError where it can't be written.
        """

        def change(content: _Content) -> None:
            _forget(content, outcome.test)
            for kept in (content["incidents"], content["mutants"]) if instead else ():
                kept[:] = [each for each in kept if each["test"] != outcome.test]
            content["incidents"].append(self._as_json(outcome))
            known = {each["id"] for each in content["catalogue"]}
            content["catalogue"] += [asdict(i) for i in incidents() if i.id == outcome.id and i.id not in known]
            content["mutants"] += [
                {"test": outcome.test, **_plain(row)} for row in outcome.tables.get("mutants", ()) if "mutant" in row
            ]

        self._change(change)

    def skip(self, test: str, why: str) -> None:
        """A replay that had begun can't be done here, and why. Raises OrdealError where that can't be written."""

        def change(content: _Content) -> None:
            for begun in _forget(content, test):
                content["skipped"].append({**begun, "why": why})

        self._change(change)

    def leave_out(self, left_out: Sequence[LeftOut], plan: SavedPlan | None = None) -> None:
        """What this run was not to replay, and the plan that says so. What is told again, as by another process, counts
        once. Raises OrdealError where that can't be written.
        """

        def change(content: _Content) -> None:
            known = {each["test"] for each in content["left_out"]}
            content["left_out"] += [asdict(each) for each in left_out if each.test not in known]
            if plan is not None:
                content["plan"] = asdict(plan)

        self._change(change)

    def add_specs(self, found: Sequence[SpecResult]) -> None:
        """Take conformance specs that have ended; on disk when this returns. Raises OrdealError as `add` does."""
        self._change(lambda content: content["specs"].extend(specs.as_json(each) for each in found))

    def end(self, measured: Mapping[str, str] | None = None) -> None:
        """The run is over, as far as it came. `measured`: what was measured of all of it.

        Raises OrdealError where that can't be written.
        """

        def change(content: _Content) -> None:
            content["measured"] = dict(measured or {})
            content["ended"] = _now()

        self._change(change)

    @property
    def path(self) -> Path:
        """The results file."""
        return self.directory / "results.json"

    def _change(self, change: Callable[[_Content], None]) -> None:
        try:
            with self._locked():
                with opened(self.directory, self.path.name) as file:
                    content = json_of(bounded(file, RESULTS), RESULTS)
                change(content)
                self._write(content)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise self._unwritable(error) from error

    def _unwritable(self, error: Exception) -> OrdealError:
        if isinstance(error, OSError):
            return OrdealError(
                f"results can't be written to {self.directory}: {error.strerror}; choose --ordeal-results"
            )
        return OrdealError(f"results can't be written to {self.path}, it was changed meanwhile: {error!r}")

    def _locked(self) -> AbstractContextManager[None]:
        return locked(self.directory / ".lock")

    def _write(self, content: _Content) -> None:
        content["updated"] = _now()
        # Whoever reads meanwhile, and whatever kills us, finds the old file or the new one.
        told: Any = scrubbed(content, _NAMES)
        text = json_text(told) + "\n"
        place(self.path, text, within=self.directory)
        document = junit.document(of_json(told, self.path), self._attachments_from)
        place(self.directory / "junit.xml", document, within=self.directory)

    def _as_json(self, o: Outcome) -> dict[str, object]:
        return {
            "id": o.id,
            **({"replay": o.replay} if o.replay else {}),
            "variant": o.variant,
            **({"control": o.control} if o.control else {}),
            "test": o.test,
            "cluster": o.cluster,
            "kubernetes": o.kubernetes,
            "profile": o.profile,
            "verdict": str(o.verdict),
            "passed": o.passed,
            "why": o.why,
            "started": _iso(unix_s() - o.duration_s),
            "duration_s": round(o.duration_s, 3),
            "invariants": [finding_as_json(f, self._relative(f.history) if f.history else "") for f in o.findings],
            "cluster_facts": dict(o.cluster_facts),
            "facts": _plain(o.facts),
            "tables": {name: [_plain(row) for row in rows] for name, rows in o.tables.items()},
            "histories": [self._relative(p) for p in o.histories],
            "evidence": [self._piece(p) for p in o.evidence],
        }

    def _piece(self, piece: Piece) -> dict[str, object]:
        if piece.path is None:
            return {"name": piece.name, "missing": piece.missing}
        size = {"size_bytes": piece.path.stat().st_size} if piece.path.exists() else {}
        return {"name": piece.name, "path": self._relative(piece.path), **size}

    def _relative(self, path: Path) -> str:
        return str(path.relative_to(self.directory)) if path.is_relative_to(self.directory) else str(path)


def finding_as_json(f: Finding, history: str) -> dict[str, object]:
    """A finding as it stands in the file; `history` is the path of what was judged, below the run's folder."""
    told: Any = {
        "name": f.invariant,
        "verdict": str(f.verdict),
        "sentence": f.sentence,
        **({"reason": f.reason} if f.reason else {}),
        "figures": _plain(f.figures),
        "proof": [_plain(as_proof(r)) for r in f.proof],
        **({"promise": f.recipe.promise, "arguments": dict(f.recipe.arguments)} if f.recipe else {}),
        **({"history": history} if history else {}),
    }
    made: Any = scrubbed(told, _NAMES)
    return dict(made)


def machine_facts() -> dict[str, str]:
    """What a reader needs to know of the machine beside any figure."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "cpus": str(os.cpu_count()),
        "memory": f"{memory / 2**30:.1f} GiB",
        "kernel": platform.release(),
        "architecture": platform.machine(),
        "python": platform.python_version(),
    }


def _empty(run: str, facts: Mapping[str, str]) -> _Content:
    return {
        "schema": SCHEMA,
        "run": run,
        "tool": {"name": APP, "version": version(APP)},
        "machine": machine_facts(),
        "options": dict(facts),
        "started": _now(),
        "updated": "",
        "running": [],
        "skipped": [],
        "incidents": [],
        "catalogue": [],
        "mutants": [],
        "specs": [],
        "left_out": [],
    }


def _forget(content: _Content, test: str) -> list[dict[str, object]]:
    """Take a test out of those that run; returns what stood there."""
    begun = [each for each in content["running"] if each["test"] == test]
    content["running"] = [each for each in content["running"] if each["test"] != test]
    return begun


def _plain(values: Mapping[str, Any]) -> dict[str, object]:
    """JSON has no infinity and no NaN: they stand there as texts."""
    return {name: str(v) if isinstance(v, float) and not isfinite(v) else v for name, v in values.items()}


def _now() -> str:
    return _iso(unix_s())


def _iso(wall: float) -> str:
    return datetime.fromtimestamp(wall, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
