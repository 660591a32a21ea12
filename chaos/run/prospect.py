"""What a run would make of a replay: whether it would run and where, what it does, what it needs, and why not."""

import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from chaos.clusters.abilities import LoadsImages, NodePause, NodePower
from chaos.clusters.base import KIND
from chaos.clusters.existing import rights
from chaos.clusters.identity import named_in
from chaos.clusters.shape import Shape
from chaos.harm.base import plan_type, registered
from chaos.harm.uses import Uses, uses_of
from chaos.hosts import extras
from chaos.hosts.bundles import plain
from chaos.run import guard
from chaos.run.case import Case
from chaos.run.ground import AGENTS, Ground
from chaos.run.incident import HARDENED, Replay
from chaos.run.lab import Lab
from chaos.run.obstacles import lacking_name, parts_of
from chaos.run.promised import Conditions
from chaos.run.rehearsal import Rehearsed, Terms, rehearse

AGENT_OPTION, POWER_OPTION = "--ordeal-agent-image", "--ordeal-power"
OURS = "ordeal-plan"  # a namespace as replays have them
_FIRST = re.compile(r"(.+?)[.;](?=\s|$)")


class Fate(StrEnum):
    """What would become of a replay. REFUSED: its cluster's owner, or another run, keeps it away; FAILS: it would be
    unknown.
    """

    RUNS = "runs"
    SKIPPED = "skipped"
    REFUSED = "refused"
    FAILS = "fails"


@dataclass(frozen=True, slots=True)
class Doing:
    """A fault that a replay does: its kind, what that is in a sentence, what it uses of a node, None where it does not
    say.
    """

    fault: str
    does: str
    uses: Uses | None


@dataclass(frozen=True, slots=True)
class Need:
    """Something that a replay needs. `lacks`: why it is not there; "" where it is. `option`: what would give it."""

    what: str
    lacks: str = ""
    option: str = ""


@dataclass(frozen=True, slots=True)
class Prospect:
    """One replay. `why` it would not run, "" where it would. `nodes`: how many its cluster is made with; None where
    none is made, or nobody can tell. `takes`: the names of the nodes that it would harm, as far as that can be told.
    `promises`: by which it is judged.
    """

    test: str
    incident: str
    title: str
    cluster: str
    control: str
    fate: Fate
    why: str = ""
    nodes: int | None = None
    takes: tuple[str, ...] = ()
    does: tuple[Doing, ...] = ()
    promises: tuple[str, ...] = ()
    needs: tuple[Need, ...] = ()


def prospect(
    test: str,
    function: Callable[[Lab], None],
    replay: Replay,
    this: Case,
    terms: Terms,
    ground: Ground | None = None,
    blocked: str = "",
) -> Prospect:
    """What would become of one replay. `test`: its pytest node id; `ground`: the existing cluster that it is for, None
    where one is made for it; `blocked`: why no run could begin now.
    """
    conditions = Conditions(this.control, this.cluster, terms.profile)
    told, does = rehearse(function, replay, this, terms), tuple(doings(replay, conditions))
    fate, why = fate_of(replay.incident.id, told, does, ground, blocked)
    names = {each.name for each in ground.nodes} if ground is not None else set[str]()
    return Prospect(
        test,
        replay.incident.id,
        replay.incident.title,
        this.cluster,
        this.control or HARDENED,
        fate,
        why,
        nodes=_nodes_of(told.shape) if ground is None and told.shape is not None else None,
        takes=tuple(sorted({name for each in told.harm for name in named_in(each.saved, names)})),
        does=does,
        promises=promised(replay, conditions),
        needs=(*needs(replay, this, terms, ground), *_rights(does, ground)),
    )


def skipped(test: str, replay: Replay, this: Case, why: str) -> Prospect:
    """One that is told so before its story: it is not made for such a cluster, or somebody has marked it."""
    incident = replay.incident
    return Prospect(test, incident.id, incident.title, this.cluster, this.control or HARDENED, Fate.SKIPPED, why)


def doings(replay: Replay, conditions: Conditions) -> Iterator[Doing]:
    """The faults of one variant: what it sets up, and what its promises name."""
    known = registered()
    kinds = [getattr(each, "kind", each.__name__) for each in replay.faults.get(conditions.control or HARDENED, ())]
    for judged in replay.promises(conditions) if replay.promises is not None else ():
        kinds += sorted(judged.harm)
    for kind in dict.fromkeys(kinds):
        cls = known.get(kind)
        yield Doing(kind, first_sentence(inspect.getdoc(cls) or ""), uses_of(cls) if cls is not None else None)


def promised(replay: Replay, conditions: Conditions) -> tuple[str, ...]:
    """The names of the promises that it is judged by, each once."""
    recordings = replay.promises(conditions) if replay.promises is not None else ()
    return tuple(dict.fromkeys(promise.name for each in recordings for promise in each.by))


def first_sentence(text: str) -> str:
    """Up to the first full stop or semicolon, in one line."""
    found = _FIRST.match(" ".join(text.split()))
    return found[1] if found else " ".join(text.split())


def fate_of(
    incident: str, told: Rehearsed, does: tuple[Doing, ...], ground: Ground | None, blocked: str
) -> tuple[Fate, str]:
    """What would become of it, and why not."""
    if told.skipped:
        return Fate.SKIPPED, told.skipped
    if told.fails:
        return Fate.FAILS, told.fails
    why = blocked or (refused(incident, told, does, ground) if ground is not None else "")
    return (Fate.REFUSED, why) if why else (Fate.RUNS, "")


def refused(incident: str, told: Rehearsed, does: tuple[Doing, ...], ground: Ground) -> str:
    """Why the owner does not allow one of its faults, in the words of a run; "" where each may be done.

    A fault that the story was not told up to is refused only where it is on each worker that could be taken.
    """
    names = {each.name for each in ground.nodes}
    harmed, asked = frozenset[str](), set[str]()
    for harm in told.harm:
        named = named_in(harm.saved, names)
        if not named and not guard.namespaces_in(harm.saved):
            continue
        asked.add(harm.fault)
        why = guard.refusal(ground.consent, incident, harm.fault, harm.saved, ground.to_harm, harmed=harmed)
        if why:
            return why
        harmed |= named
    workers = [each.name for each in ground.facts if not each.control_plane and not each.unfit]
    for each in does:
        if each.fault not in asked:
            would = [_as_planned(each.fault, worker) for worker in workers]
            whys = [guard.refusal(ground.consent, incident, each.fault, one, ground.to_harm) for one in would]
            if whys and all(whys):
                return whys[0]
    return next(filter(None, (ground.without_right(each.fault) for each in does)), "")


def needs(replay: Replay, this: Case, terms: Terms, ground: Ground | None) -> Iterator[Need]:
    """All that it needs besides what its faults use on a node, and whether it is there."""
    has = ground.in_reach.abilities if ground is not None else replay.needs
    for ability in replay.needs:
        lacks = "" if ability in has else "the cluster does not have it"
        option = AGENT_OPTION if ability in AGENTS else POWER_OPTION if ability is NodePower else ""
        yield Need(ability.__name__, lacks, option if lacks else "")
    beneath = this.cluster == KIND or (ground is not None and NodePause in has)  # nodes are containers of this machine
    for part in parts_of(replay, made=ground is None) if beneath else ():
        why = part.lacks()
        yield Need(part.name, f"{why}; {part.mend}" if why else "")
    if this.cluster == KIND and (lacks := extras.lacks(extras.KIND)):
        yield Need(f"packages for {extras.SERVES[extras.KIND]}", lacks)
    for extra in replay.extras:
        yield Need(f"packages for {extras.SERVES[extra]}", extras.lacks(extra))
    for name in replay.images:
        pulled = ground is not None and LoadsImages not in has
        lacks = lacking_name(replace(replay, images=(name,)), terms.images) if pulled else ""
        yield Need(f"an image of {name}", lacks, f"--ordeal-{name}-image" if lacks else "")
    if replay.specs:
        version = ground.kubernetes if ground is not None else terms.kubernetes
        yield Need("upstream's e2e.test", terms.lacking_specs(plain(version)))


def _rights(does: tuple[Doing, ...], ground: Ground | None) -> Iterator[Need]:
    """What its faults ask of the API, beside what every run does."""
    if ground is None:
        return
    for each in does:
        if asked := rights.of_fault(each.fault):
            named = ", ".join(dict.fromkeys(map(str, asked)))
            yield Need(f"the rights of {each.fault} ({named})", ground.without_right(each.fault))


def _nodes_of(shape: Shape) -> int:
    return 1 + (sum(each.nodes for each in shape.zones) if shape.zones else shape.workers)


def _as_planned(fault: str, node: str) -> Mapping[str, Any]:
    """What the guard would find in a plan: a node, or a namespace of ours where its plan is of one and of no node."""
    cls = registered().get(fault)
    fields = getattr(plan_type(cls), "__struct_fields__", ()) if cls is not None else ()
    return {"namespace": OURS} if "namespace" in fields and "node" not in fields else {"node": node}
