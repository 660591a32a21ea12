"""How often a comparison is wrong: runs of one version, out of the history, are dealt to two sides and compared."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random

from chaos.errors import OrdealError
from chaos.report.compare import Comparison, EqualVersions, Side, compare
from chaos.report.difference import Shift
from chaos.results.key import Key
from chaos.results.past import PastRun, as_saved
from chaos.results.saved import SavedRun
from chaos.results.trend import Circumstances, key_of, replayed

DEALS = 100
SEED = 20181029


def measured(runs: Sequence[PastRun], c: Comparison, seed: int = SEED, deals: int = DEALS) -> EqualVersions:
    """How often this comparison, of the same replays with as many repeats, calls runs of one version a regression.

    Of the history those runs count that replayed all of it in the same profile, on machines with as many processors;
    of several versions the one with the most runs. Each of the deals takes other runs, or the same ones to other sides.
    """
    keys = {row.key for row in c.verdicts if not row.key.control and row.base and row.candidate}
    sides = [*c.base.runs, *c.candidate.runs]
    cpus = {run.machine.get("cpus", "") for run in sides}
    profiles = {outcome.profile for run in sides for outcome in run.outcomes}
    sizes = len(c.base.runs), len(c.candidate.runs)
    if len(cpus) > 1:
        return EqualVersions(why="the two sides are of machines with different numbers of processors")
    if not keys:
        return EqualVersions(why="no replay was compared")
    groups = _groups(runs, keys, cpus, profiles)
    where, known = max(groups.items(), key=lambda group: (len(group[1]), group[0]), default=(None, []))
    if len(known) < sum(sizes):
        return EqualVersions(
            why=f"the history has {len(known)} runs of one version that replayed all of this in this profile on as "
            f"many processors, and {sum(sizes)} are needed"
        )
    lot = Random(seed)  # noqa: S311  (nothing is secret)
    wrong = 0
    for _ in range(deals):
        dealt = lot.sample(known, sum(sizes))
        base, candidate = Side(tuple(dealt[: sizes[0]])), Side(tuple(dealt[sizes[0] :]))
        try:
            found = compare(base, candidate, alpha=c.alpha, relevant=c.relevant, search=False)
        except OrdealError as error:
            return EqualVersions(why=str(error))
        wrong += found.answer is Shift.REGRESSED
    return EqualVersions(deals, wrong, len(known), str(where), seed)


def with_equal_versions(c: Comparison, runs: Sequence[PastRun] | None) -> Comparison:
    """The comparison with how often it is wrong; without a history it says that this was not measured."""
    return c if runs is None else replace(c, equal_versions=measured(runs, c))


def _groups(
    runs: Sequence[PastRun], keys: set[Key], cpus: set[str], profiles: set[str]
) -> Mapping[Circumstances, Sequence[SavedRun]]:
    """The runs by the version that all of their replays were of, each with those replays alone."""
    groups: dict[Circumstances, list[SavedRun]] = {}
    for run in runs:
        if run.cpus not in cpus:
            continue
        wanted = [
            (outcome, conditions)
            for outcome, (_, replay, conditions) in zip(as_saved(run), replayed([run]), strict=True)
            if key_of(replay) in keys
        ]
        images = sorted({conditions.image for _, conditions in wanted} - {""})
        versions = {replace(conditions, image=" ".join(images)) for _, conditions in wanted}
        replays = {Key(o.id, o.replay, o.cluster, o.control) for o, _ in wanted}
        if replays == keys and len(versions) == 1 and {v.profile for v in versions} == profiles:
            outcomes = tuple(outcome for outcome, _ in wanted)
            groups.setdefault(versions.pop(), []).append(SavedRun(run.id, Path(run.id), {}, outcomes))
    return groups
