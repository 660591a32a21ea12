"""The campaign: batches, and what may not be read at all alone; a batch whose twin was disturbed is divided."""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from chaos.campaign.batch import CampaignMeans, run_batch
from chaos.campaign.edits import Edit, Kind, Way
from chaos.campaign.outcome import Came, Result, result
from chaos.campaign.trial import run_trials
from chaos.clusters.way.client import FAILURES, told

AT_ONCE = 20
OF_THE_TIME = 0.8  # for the batches, where there is not time for all


@dataclass(slots=True)
class Campaign:
    """`means`: called for a cluster that is sound. `spoilt`: the one there is is not. `late`: whether such a share of
    the time is over. `save`: called after each part with all results so far.
    """

    means: Callable[[], CampaignMeans]
    spoilt: Callable[[], None]
    late: Callable[[float], bool]
    save: Callable[[Sequence[Result]], None]
    results: list[Result] = field(default_factory=list)
    _number: int = 0

    def run(self, edits: Sequence[Edit]) -> Sequence[Result]:
        """Try them all, or as many as there is time for. Raises OrdealError where no cluster can be made."""
        odd = [each for each in edits if each.way is Way.TYPE]
        rest = [each for each in edits if each.way is not Way.TYPE]
        self._batches(rest, OF_THE_TIME if odd else 1.0)
        if not odd or self.late(1.0):
            return self.results
        means = self.means()
        try:
            late, add = partial(self.late, 1.0), self._add_one
            read = run_trials(means, odd, _workers(means)[0], self._next(), late, add)
        except FAILURES as error:
            means.report(f"what can't be read could not be tried: {told(error)}")
            return self.results
        self._batches(read, 1.0)
        return self.results

    def _batches(self, edits: Sequence[Edit], share: float) -> None:
        """Until that share of the time is over."""
        waiting = deque(_divided([each for each in edits if not _reaches_others(each)], AT_ONCE))
        waiting.extend([each] for each in edits if _reaches_others(each))
        while waiting and not self.late(share):
            batch = waiting.popleft()
            if again := self._tried(batch):
                waiting.extendleft(reversed(again))

    def _tried(self, batch: Sequence[Edit]) -> list[Sequence[Edit]]:
        """Returns what has to be tried again, in smaller parts."""
        means = self.means()
        means.report(f"{len(batch)} edits at once: {', '.join(each.name for each in batch)}")
        halves = _divided(batch, (len(batch) + 1) // 2) if len(batch) > 1 else []
        try:
            found = run_batch(means, batch, _workers(means), self._next())
        except FAILURES as error:
            means.report(f"the batch could not be tried: {told(error)}")
            self.spoilt()
            if not halves:
                self._add([result(batch[0], Came.UNKNOWN, said=told(error))])
            return halves
        if found.disturbed and halves:
            means.report(f"the twin was disturbed ({found.disturbed}): the batch is divided")
            return halves
        self._add(found.results)
        for each in found.results:
            named = ", ".join(dict.fromkeys(name for name, _ in each.named))
            means.report(f"{each.kind} {each.field} {each.way}: {each.came}{f', named by {named}' if named else ''}")
        return []

    def _add(self, results: Sequence[Result]) -> None:
        self.results.extend(results)
        self.save(self.results)

    def _add_one(self, one: Result) -> None:
        self._add([one])

    def _next(self) -> int:
        self._number += 1
        return self._number


def _divided(edits: Sequence[Edit], size: int) -> list[Sequence[Edit]]:
    return [edits[at : at + size] for at in range(0, len(edits), size)]


def _reaches_others(edit: Edit) -> bool:
    """Whether it is known to reach the twin, so that it is tried alone at once.

    No recorder tells an object without a uid from others, and sees no other one of its kind then, either. A Service
    without IP families ends the controller manager (#138736, docs/recall.md), a pod that changes its node the scheduler
    (pkg/scheduler/backend/cache/cache.go, `UpdatePod`).
    """
    field = edit.field
    if edit.way is Way.MISSING and field.path == ("metadata", "uid"):
        return field.kind in {Kind.POD, Kind.NODE}
    return (field.kind, field.path[-1]) in {(Kind.SERVICE, "ipFamilies"), (Kind.POD, "nodeName")}


def _workers(means: CampaignMeans) -> list[str]:
    return [each.name for each in means.cluster.nodes() if not each.control_plane]
