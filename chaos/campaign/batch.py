"""A batch: edits at the same time, each on a workload of its own, beside one that is not edited, their twin."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field

from kubernetes.client import ApiClient
from kubernetes.client.exceptions import ApiException

from chaos.basics.waiting import WaitedInVainError, eventually
from chaos.campaign.edits import Edit
from chaos.campaign.ground import ADDRESS, JOINS, ORDERED, PINNED, PODS, TRIED, WEB, EditGround
from chaos.campaign.judged import COMPONENTS, RUNS_ON_S, WITHIN_S, judged
from chaos.campaign.outcome import Came, Result, compared, named, result
from chaos.campaign.slot import OUTLIVES, Slot
from chaos.campaign.watch import Plane, WorkloadsWatch
from chaos.campaign.world import World, state
from chaos.clusters.way.client import FAILURES, raw_get, raw_list, told
from chaos.harm.base import inject
from chaos.judge.base import Finding, Verdict
from chaos.judge.start import NOT_STARTED, STARTED
from chaos.record.history import History, Window
from chaos.record.journal import Journal
from chaos.record.recorder import Recorder
from chaos.record.records import FaultStep, Observation, Sample
from chaos.subjects.aged.records import ComponentSeen, Touched
from chaos.subjects.aged.sampler import is_ready
from chaos.subjects.garbage.records import Due, What

READY_WITHIN_S = 300.0  # ends when it is seen
GONE_WITHIN_S = 30.0  # a pod that nobody can delete any more stays in its namespace, and goes with the cluster
SETTLES_S, SETTLED_WITHIN_S = 8.0, 30.0  # nothing changes for so long, or it is left at that
MARGIN_S = 4.0
UNDECODED = 500  # the status by which the API server says that it can't read what is stored
TOUCHES = (f"Service/{ADDRESS}", f"StatefulSet/{ORDERED}", f"DaemonSet/{PINNED}")


@dataclass(frozen=True, slots=True)
class CampaignMeans:
    """What a campaign has: the cluster, the run's journal and id, and whom it tells how far it is."""

    cluster: Plane
    journal: Journal
    run: str
    report: Callable[[str], None]


@dataclass(slots=True)
class BatchFound:
    """What a batch found. `disturbed`: why the twin was not what it should be; empty where it was."""

    results: list[Result] = field(default_factory=list)
    disturbed: str = ""


def run_batch(means: CampaignMeans, edits: Sequence[Edit], nodes: Sequence[str], number: int) -> BatchFound:
    """Try the edits, each on a node of its own; the twin has the first node. Raises OrdealError where the cluster does
    not do its part before anything is edited.
    """
    cluster = means.cluster
    used = nodes[: len(edits) + 1]
    grounds = [EditGround(f"campaign-{number}-{place}", node) for place, node in enumerate(used)]
    recording = History()
    of = [None, *edits]
    slots = [Slot(ground, edit, recording) for ground, edit in zip(grounds, of, strict=True)]
    with cluster.api() as client:
        try:
            return _tried(means, slots, recording, client)
        finally:
            cluster.start_first_control_plane()
            for ground in grounds:
                with suppress(*FAILURES):
                    ground.remove(client)
            with suppress(WaitedInVainError):
                eventually(
                    lambda: _gone(client, grounds), within_s=GONE_WITHIN_S, what="the pods of a batch to be gone"
                )


def _gone(client: ApiClient, grounds: Sequence[EditGround]) -> bool:
    names = {each.namespace for each in grounds}
    return not any(each["metadata"].get("namespace") in names for each in raw_list(client, "/api/v1/pods"))


def _tried(means: CampaignMeans, slots: Sequence[Slot], recording: History, client: ApiClient) -> BatchFound:
    cluster, twin = means.cluster, slots[0]
    for slot in slots:
        slot.ground.deploy(cluster, means.run)
    found: dict[str, Result] = {}
    with ExitStack() as stack:
        watch = stack.enter_context(WorkloadsWatch(recording, cluster, slots))
        what = "the workloads of a batch to be Ready"
        eventually(lambda: _all_there(watch, slots), within_s=READY_WITHIN_S, what=what)
        stack.enter_context(Recorder(recording, cluster.api, resources=("nodes", "pods")))
        before = watch.worlds[-1]
        means.report(f"all Ready at {recording.now():.0f} s")
        with ExitStack() as harm:
            for slot in slots[1:]:
                found |= _edit(means, slot, client, harm)
            edited_at = recording.now()
            means.report(f"edited at {edited_at:.0f} s")
            _hold(lambda: _settled(watch, slots, before, edited_at, recording), SETTLED_WITHIN_S)
            touched_at = recording.now()
            means.report(f"touched at {touched_at:.0f} s")
            still = [each for each in watch.since(edited_at) if each.until <= touched_at]
            for slot in slots:
                _touch(slot, client)
            _hold(lambda: _all_followed(watch, slots, touched_at, recording), WITHIN_S + MARGIN_S)
            last = watch.worlds[-1]
            means.report(f"seen until {last.at:.0f} s")
            for slot in slots:
                if not any(each.name == STARTED for each in slot.own.of(Sample)):
                    slot.own.add(Observation(recording.now(), NOT_STARTED, slot.ground.node, "no new pod was Ready"))
    return _judged(slots, twin, found, before, still, last, Window(edited_at, touched_at))


def _all_there(watch: WorkloadsWatch, slots: Sequence[Slot]) -> bool:
    return bool(watch.worlds) and all(watch.worlds[-1].all_there(each.ground) for each in slots)


def _edit(means: CampaignMeans, slot: Slot, client: ApiClient, harm: ExitStack) -> dict[str, Result]:
    """Edit the slot's object. Returns a result where there is one at once: refused, or nothing to be edited."""
    edit = slot.edit
    assert edit is not None
    try:
        rewrite = slot.rewrite(means.cluster)
        if rewrite is None:
            return {edit.name: result(edit, Came.NO_FIELD)}
        own = harm.enter_context(ExitStack())
        if edit.field.kind in OUTLIVES:  # whatever has become of it
            key = rewrite[0].key
            own.callback(means.cluster.etcd_put, key, means.cluster.etcd_get(key))
        own.enter_context(inject(rewrite[0], means.cluster, means.journal, slot.own, watched=False))
    except FAILURES as error:
        return {edit.name: result(edit, Came.UNKNOWN, said=f"it was not edited: {told(error)}")}
    try:
        raw_get(client, rewrite[1].path)
    except FAILURES as error:
        if isinstance(error, ApiException) and error.status == UNDECODED:
            own.close()
            return {edit.name: result(edit, Came.REFUSED, said=told(error))}
    return {}


def _settled(watch: WorkloadsWatch, slots: Sequence[Slot], before: World, since: float, recording: History) -> bool:
    """Whether nothing has changed of any workload for a time."""
    looks = [each for each in watch.since(since) if each.at >= recording.now() - SETTLES_S]
    if recording.now() - since < SETTLES_S or len(looks) < 2:
        return False
    first = [state(looks[0], slot.ground, before) for slot in slots]
    return all([state(each, slot.ground, before) for slot in slots] == first for each in looks[1:])


def _touch(slot: Slot, client: ApiClient) -> None:
    """What can't be done is part of what the edit did."""
    at = slot.own.now()
    for name in TOUCHES:
        slot.own.add(Touched(at, name, "it is touched"))
    for do in (slot.ground.touch, slot.ground.delete_deployment):
        try:
            do(client)
        except FAILURES as error:
            slot.own.add(Observation(slot.own.now(), "touch", slot.ground.namespace, told(error)))
    slot.own.add(Due(slot.own.now(), What.PODS, f"{slot.ground.namespace}/{WEB}"))


def _all_followed(watch: WorkloadsWatch, slots: Sequence[Slot], since: float, recording: History) -> bool:
    """Whether all that was touched has followed, in each workload."""
    looks = watch.since(since)
    components_seen = recording.now() - since > RUNS_ON_S + MARGIN_S
    return components_seen and bool(looks) and all(_followed(looks[-1], watch.worlds[0], each.ground) for each in slots)


def _followed(world: World, first: World, ground: EditGround) -> bool:
    followed, old = world.followed(ground), first.uids(ground)[ORDERED]
    ordered = [each for each in world.workload(ground, ORDERED) if each["metadata"].get("uid") not in old]
    joined = len(world.workload(ground, JOINS))
    return (
        bool(followed)
        and followed[0].is_right
        and len(followed[0].pods) == joined == 1
        and sum(map(is_ready, ordered)) == PODS[ORDERED] == len(world.workload(ground, ORDERED))
        and any(map(is_ready, world.workload(ground, TRIED)))
        and not world.workload(ground, WEB)
    )


def _judged(
    slots: Sequence[Slot],
    twin: Slot,
    found: dict[str, Result],
    before: World,
    still: Sequence[World],
    last: World,
    until_touch: Window,
) -> BatchFound:
    said = BatchFound()
    harmed = next((each for each in slots[1:] if each.edit is not None and each.edit.name not in found), None)
    as_harmed = [*twin.history(), *(harmed.own.of(FaultStep) if harmed is not None else ())]
    of_twin = judged(History.of_records(as_harmed), twin.ground.node, until_touch) if harmed is not None else ()
    broken = [each for each in of_twin if each.verdict is Verdict.VIOLATED]
    if broken:
        said.disturbed = "; ".join(f"{each.invariant} of the twin: {each.sentence}" for each in broken)
    for slot in slots[1:]:
        edit = slot.edit
        assert edit is not None
        if edit.name in found:
            said.results.append(found[edit.name])
            continue
        planned = min(each.at for each in slot.own.of(FaultStep))  # what its edit does may come before that of another
        window = Window(planned, until_touch.end)
        findings: Sequence[Finding] = judged(slot.history(), slot.ground.node, window)
        came, differs = compared(slot.ground, twin.ground, before, still, last)
        if said.disturbed and len(slots) == 2 and _ended(twin):
            came, differs = Came.HARM, (*differs, f"the twin too: {said.disturbed}")
        said.results.append(
            result(
                edit,
                came,
                differs=differs,
                named=named(findings),
                unknown=named(findings, Verdict.UNKNOWN),
                said=said.disturbed,
            )
        )
    return said


def _ended(twin: Slot) -> bool:
    return any(not each.runs for each in twin.history().of(ComponentSeen) if each.component in COMPONENTS)


def _hold(condition: Callable[[], bool], within_s: float) -> None:
    with suppress(WaitedInVainError):
        eventually(condition, within_s=within_s, what="what follows an edit", every_s=1.0)
