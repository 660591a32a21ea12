"""The results of a run: results/<run>/results.json, written anew after each incident, and results/latest beside it."""

import json
import os
import platform
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from chaos.errors import OrdealError
from chaos.evidence import Piece
from chaos.hosts.lock import locked
from chaos.invariants.base import Finding, Verdict

SCHEMA = 1
Row = Mapping[str, str | int | float]


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
    """Collects outcomes and keeps the file on disk up to date. Several processes of one run may add to it."""

    def __init__(self, root: Path, run: str, facts: Mapping[str, str]) -> None:
        """Make results/<run> and point `latest` at it. Raises OrdealError where that can't be written."""
        self.directory = root / run
        self._facts = dict(facts)
        self._run = run
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            with self._locked():
                if not self.path.exists():
                    _point(root / "latest", run)
                    self._write([])
        except OSError as error:
            where = self.directory
            raise OrdealError(f"results can't be written to {where}: {error.strerror}; choose --results") from error

    def add(self, outcome: Outcome) -> None:
        """Take an outcome; on disk when this returns. Raises OrdealError where it can't be written."""
        try:
            with self._locked():
                self._write([*json.loads(self.path.read_text())["incidents"], self._as_json(outcome)])
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else str(error)
            raise OrdealError(f"results can't be written to {self.path}: {why}") from error

    @property
    def path(self) -> Path:
        """The results file."""
        return self.directory / "results.json"

    def _locked(self) -> AbstractContextManager[None]:
        return locked(self.directory / ".lock")

    def _write(self, incidents: Sequence[object]) -> None:
        content = {
            "schema": SCHEMA,
            "run": self._run,
            "machine": machine_facts(),
            "options": self._facts,
            "incidents": incidents,
        }
        scratch = self.path.with_suffix(".tmp")
        scratch.write_text(json.dumps(content, indent=2) + "\n")
        scratch.replace(self.path)

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
            "duration_s": round(o.duration_s, 3),
            "invariants": [self._finding(f) for f in o.findings],
            "cluster_facts": dict(o.cluster_facts),
            "facts": dict(o.facts),
            "tables": {name: [dict(row) for row in rows] for name, rows in o.tables.items()},
            "histories": [self._relative(p) for p in o.histories],
            "evidence": [self._relative(p.path) if p.path else f"{p.name}: {p.missing}" for p in o.evidence],
        }

    def _finding(self, f: Finding) -> dict[str, object]:
        return {
            "name": f.invariant,
            "verdict": str(f.verdict),
            "sentence": f.sentence,
            **({"reason": f.reason} if f.reason else {}),
            "figures": dict(f.figures),
            "proof": [{"kind": r.kind, "object": r.object, **asdict(r)} for r in f.proof],
            **({"promise": f.recipe.promise, "arguments": dict(f.recipe.arguments)} if f.recipe else {}),
            **({"history": self._relative(f.history)} if f.history else {}),
        }

    def _relative(self, path: Path) -> str:
        return str(path.relative_to(self.directory)) if path.is_relative_to(self.directory) else str(path)


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


def _point(link: Path, target: str) -> None:
    scratch = link.with_name(f".latest-{target}")
    scratch.symlink_to(target)
    scratch.replace(link)
