"""What runs have shown of their checks: which promises were violated in a control or under a mutant, and what the rest
is declared to be proven by.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from chaos.judge.catalogue import Incident, Proof, ProvenBy
from chaos.judge.proofs import CONTROL, Proven, by_kind, proven
from chaos.report.markdown import pipe_table
from chaos.results.saved import SavedOutcome, SavedRun

COLUMNS = ("incident", "promise", "seen broken in", "declared, and not seen", "seen, and not declared")


@dataclass(frozen=True, slots=True)
class Checked:
    """A promise of an incident, what is declared to prove that it is able to break, and what runs have shown of that.

    `controls`: those of the declared ones in which it was violated. `mutants`: those under which it was.
    `undeclared`: other controls in which it was violated, which prove nothing as long as nobody has said why.
    """

    incident: str
    declared: Proven
    controls: tuple[str, ...]
    mutants: tuple[str, ...]
    undeclared: tuple[str, ...]

    @property
    def is_seen(self) -> bool:
        """Whether it was seen broken by something that is declared to break it."""
        return bool(self.controls or self.mutants)

    @property
    def words(self) -> tuple[str, ...]:
        """What it was seen broken in."""
        return (
            *(f"{CONTROL} {each}" for each in self.controls),
            *(f"{ProvenBy.MUTANT} {each}" for each in self.mutants),
        )

    @property
    def elsewhere(self) -> tuple[str, ...]:
        """What it is declared to be proven by, and was not seen in."""
        return self.declared.words(but=(*self.controls, *self.mutants))


def checked(runs: Sequence[SavedRun], incident: Incident, invariants: Iterable[str]) -> tuple[Checked, ...]:
    """What runs have shown of these promises of an incident."""
    outcomes = [o for run in runs for o in run.outcomes if o.id == incident.id and o.control and o.passed]
    return tuple(_checked(runs, incident, invariant, outcomes) for invariant in invariants)


def in_run(run: SavedRun) -> tuple[Checked, ...]:
    """The promises that a run has judged hardened."""
    ids = dict.fromkeys(o.id for o in run.outcomes)
    return tuple(each for id_ in ids for each in checked([run], run.incident(id_), judged_hardened(run, id_)))


def judged_hardened(run: SavedRun, incident: str) -> tuple[str, ...]:
    """The invariants by which a run has judged an incident hardened, in their order."""
    replays = [o for o in run.outcomes if o.id == incident and not o.control]
    return tuple(dict.fromkeys(f.invariant for o in replays for f in o.findings))


def counted(found: Sequence[Checked]) -> str:
    """How many of the promises were seen broken, and what the others are declared to be proven by, in a sentence."""
    others = [each.declared for each in found if not each.is_seen]
    seen = f"{len(found) - len(others)} of {len(found)} promises were seen to break in a control or under a mutant"
    return f"{seen}; the others are proven {by_kind(others)}" if others else seen


def table(found: Sequence[Checked]) -> list[str]:
    """The lines of a Markdown table with a row for each promise."""

    def rows() -> Iterator[Sequence[str]]:
        for each in found:
            cells = (each.words, each.elsewhere, [f"{CONTROL} {name}" for name in each.undeclared])
            yield (each.incident, each.declared.invariant, *("; ".join(cell) for cell in cells))

    return pipe_table(COLUMNS, rows())


def _checked(runs: Sequence[SavedRun], incident: Incident, invariant: str, outcomes: Sequence[SavedOutcome]) -> Checked:
    declared = proven(incident, invariant)
    broke = {
        o.control: None for o in outcomes for f in o.findings if f.invariant == invariant and f.verdict == "violated"
    }
    mutants = [
        each.by for each in declared.proofs if each.how is ProvenBy.MUTANT and any(_found(run, each) for run in runs)
    ]
    return Checked(
        incident.id,
        declared,
        controls=tuple(each for each in declared.controls if each in broke),
        mutants=tuple(mutants),
        undeclared=tuple(each for each in broke if each not in declared.controls),
    )


def _found(run: SavedRun, proof: Proof) -> bool:
    """Whether the run's table of mutants says that the mutant was found by this promise."""
    return any(
        row.get("mutant") == proof.by and row.get("judged by") == proof.promise and row.get("verdict") == "violated"
        for row in run.mutants
    )
