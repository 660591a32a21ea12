"""Whether the API server reads an edited object at all: tried alone, and put back as soon as that is seen."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import takewhile

from kubernetes.client import ApiClient
from kubernetes.client.exceptions import ApiException

from chaos.basics.waiting import WaitedInVainError, eventually
from chaos.campaign.batch import READY_WITHIN_S, UNDECODED, CampaignMeans
from chaos.campaign.edits import Edit, Kind
from chaos.campaign.ground import EditGround, Place
from chaos.campaign.outcome import Came, Result, result
from chaos.campaign.slot import Slot
from chaos.campaign.watch import WorkloadsWatch
from chaos.clusters.way.client import FAILURES, raw_get, told
from chaos.harm.base import inject
from chaos.record.history import History

BACK_WITHIN_S = 120.0  # ends when it is seen
FROM_CACHE = "resourceVersion=0"


def run_trials(
    means: CampaignMeans,
    edits: Sequence[Edit],
    node: str,
    number: int,
    late: Callable[[], bool],
    found_one: Callable[[Result], None],
) -> list[Edit]:
    """Try each on one workload, one after the other, until it is late. `found_one` is told of each that is refused, or
    has nothing to edit. Returns the edits that are read: what they do is another question.
    """
    ground = EditGround(f"campaign-{number}-read", node)
    read: list[Edit] = []
    reached: set[Kind] = set()  # whom else an object of the kind takes its objects from is the same for each field
    recording = History()
    with means.cluster.api() as client:
        ground.deploy(means.cluster, means.run)
        with WorkloadsWatch(recording, means.cluster, [Slot(ground, None, recording)]) as watch:

            def there() -> bool:
                return bool(watch.worlds) and watch.worlds[-1].all_there(ground)

            eventually(there, within_s=READY_WITHIN_S, what="the workload of the trials to be Ready")
        for edit in takewhile(lambda _: not late(), edits):
            kind = edit.field.kind
            found = _tried(means, Slot(ground, edit, History()), edit, client, reaches=kind not in reached)
            if found is not None and found.came is Came.REFUSED:
                reached.add(kind)
            if found is None:
                read.append(edit)
            else:
                found_one(found)
                means.report(f"{edit.name}: {found.came}")
        with suppress(*FAILURES):
            ground.remove(client)
    return read


def _tried(means: CampaignMeans, slot: Slot, edit: Edit, client: ApiClient, *, reaches: bool) -> Result | None:
    """None where the API server reads it. `reaches`: whether to look whom else it concerns."""
    try:
        rewrite = slot.rewrite(means.cluster)
        if rewrite is None:
            return result(edit, Came.NO_FIELD)
        harm, place = rewrite
        with inject(harm, means.cluster, means.journal, slot.own, watched=False):
            if not (said := _refused(client, place.path)):
                return None
            reach = f"; {_reach(client, place)}" if reaches else ""
    except FAILURES as error:
        return result(edit, Came.UNKNOWN, said=told(error))
    with suppress(WaitedInVainError, *FAILURES):
        what = f"all of {place.every} to be listed again"
        eventually(lambda: not reaches or not _refused(client, place.every), within_s=BACK_WITHIN_S, what=what)
    return result(edit, Came.REFUSED, said=f"{said}{reach}")


def _refused(client: ApiClient, path: str) -> str:
    """What the API server says that can't read what is stored; empty where it can."""
    try:
        raw_get(client, path)
    except ApiException as error:
        if error.status == UNDECODED:
            return told(error)
        raise
    return ""


def _reach(client: ApiClient, place: Place) -> str:
    """Whom else it takes its objects from: who lists all of the kind, or only the next one from the cache."""
    whole, cached = _refused(client, place.every), _refused(client, f"{place.every}?{FROM_CACHE}")
    if not whole:
        return "all others are listed"
    return "nobody gets a list of that kind" if cached else "a list of that kind comes from the cache alone"
