"""A run in brief, as Markdown: for the page of a CI job."""

from chaos.report.answer import Answer, Safe, headline, left_out
from chaos.report.markdown import escaped, folded, pipe_table
from chaos.results.saved import SavedOutcome, SavedRun
from chaos.results.specs import tally

COLUMNS = ("incident", "on", "variant", "verdict", "passed", "s", "why")
EXIT_CODES = {Safe.YES: 0, Safe.NO: 1, Safe.UNKNOWN: 2}


def markdown(run: SavedRun, said: Answer) -> str:
    """The answer, what broke, what nobody can say, and the replays; those that passed have to be opened."""
    versions = sorted({o.kubernetes for o in run.outcomes if o.kubernetes})
    passed = [o for o in run.outcomes if o.passed]
    count = f"{len(passed)} of {len(run.outcomes)} replays passed"
    of = f"Kubernetes {' and '.join(versions) or 'unknown'}, run {run.id}"
    lines = [f"## kube-ordeal: {headline(said, run)}", "", escaped(f"{said.sentence}. {of}: {count}."), ""]
    for title, sentences in (
        ("What broke", said.broken),
        ("What nobody can say", said.doubts),
        ("Known bugs of this version", said.known),
        ("What could not be replayed", [f"{s.id} on {s.cluster}: {s.why}" for s in run.skipped]),
    ):
        if sentences:
            lines += [f"### {title}", "", *(f"- {escaped(each)}" for each in sentences), ""]
    worse = [_cells(o) for o in run.outcomes if not o.passed]
    if worse:
        lines += pipe_table(COLUMNS, worse)
    if passed:
        lines += folded(count, pipe_table(COLUMNS, map(_cells, passed)))
    if run.left_out:
        named = [f"- {escaped(each)}" for each in left_out(run)]
        lines += folded(f"{len(run.left_out)} left out", [*named, ""])
    if run.specs:
        lines += [f"Conformance specs: {escaped(tally(run.specs))}.", ""]
    return "\n".join(lines)


def _cells(o: SavedOutcome) -> tuple[str, ...]:
    return (
        f"{o.id} ({o.replay})" if o.replay else o.id,
        f"{o.cluster} {o.kubernetes}",
        f"control {o.control}" if o.control else "hardened",
        o.verdict,
        "yes" if o.passed else "NO",
        f"{o.duration_s:.0f}",
        o.why,
    )
