"""What --ordeal-plan says: for people, as wide as their terminal, and for programs."""

import textwrap
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from chaos.basics.scrub import scrub
from chaos.basics.visible import line
from chaos.clusters.abilities import NodePause
from chaos.harm.uses import Uses
from chaos.hosts.places import APP
from chaos.run.ground import Ground, NodeFacts
from chaos.run.incident import Replay
from chaos.run.promised import Conditions
from chaos.run.prospect import Doing, Fate, Need, Prospect, doings

MOST_NODES = 30  # shown one by one
NARROWEST, WIDEST = 60, 120
_SAID = {
    Fate.RUNS: "would run",
    Fate.SKIPPED: "skipped",
    Fate.REFUSED: "refused",
    Fate.FAILS: "would be unknown",
}


@dataclass(frozen=True, slots=True)
class RunPlan:
    """All that a run would do. `kubernetes`: of clusters that are made here, and `set_up_lacks`: by kind what set-up
    has still to do for them; `ground`: the existing cluster, and `agent_image`: of agents there; None where it can't
    be looked at, or none is used. `blocked`: why no run could begin now. `builds`: what replays would build first.
    `specs`, `others`: how many of upstream's specs, and of tests of other kind.
    """

    kubernetes: str
    ground: Ground | None
    agent_image: str
    set_up_lacks: Mapping[str, tuple[str, ...]]
    blocked: tuple[str, ...]
    replays: tuple[Prospect, ...]
    builds: tuple[str, ...]
    specs: int
    others: int

    @property
    def runs(self) -> int:
        """How many replays and specs would run."""
        specs = 0 if self.blocked or (self.ground is not None and self.ground.in_reach.unusable) else self.specs
        return specs + sum(each.fate is Fate.RUNS for each in self.replays)


def as_json(plan: RunPlan) -> dict[str, Any]:
    """The same for programs."""
    ground = plan.ground
    cluster = ground and {
        "server": ground.server,
        "context": ground.context,
        "kubernetes": ground.kubernetes,
        "agent_image": plan.agent_image,
        "agents_on": list(ground.in_reach.reached),
        "abilities": [each.__name__ for each in ground.in_reach.abilities],
        "unusable": ground.in_reach.unusable,
        "nodes": msgspec.to_builtins(ground.facts),
    }
    return {
        "kubernetes_of_clusters_made": plan.kubernetes,
        "cluster": cluster,
        "set_up_lacks": {kind: list(steps) for kind, steps in plan.set_up_lacks.items()},
        "blocked": list(plan.blocked),
        "replays": msgspec.to_builtins(plan.replays),
        "builds": list(plan.builds),
        "specs": plan.specs,
        "other_tests": plan.others,
        "would_run": plan.runs,
    }


def lines_of(plan: RunPlan, width: int) -> list[str]:
    """The whole plan, a text for each line of a terminal so wide."""
    return [*_wrapped(_head(plan), width), *_wrapped(_incidents(plan), width), last_line(plan)]


def last_line(plan: RunPlan) -> str:
    """How many would run, and how many would not."""
    counted = Counter(each.fate for each in plan.replays)
    said = [f"{counted[fate]} {_SAID[fate]}" for fate in Fate if counted[fate]]
    said += [f"{plan.specs} of upstream's specs"] if plan.specs else []
    said += [f"{plan.others} tests of other kind"] if plan.others else []
    said += [] if plan.runs else ["nothing would be replayed"]
    return shown(f"plan: {', '.join(said)}")


def beforehand(replay: Replay, conditions: Conditions) -> str:
    """What a replay says of itself when it begins: what it does, what it needs."""
    does = tuple(doings(replay, conditions))
    needs = [*(each.__name__ for each in replay.needs), *(f"an image of {name}" for name in replay.images)]
    said = [f"does {', '.join(each.fault for each in does)}" if does else "does no harm"]
    said += [f"needs {', '.join(needs)}"] if needs else []
    said += [f"on a node: {uses}"] if (uses := _uses(does)) else []
    return "; ".join(said)


def shown(text: str) -> str:
    """A line, whatever is in it."""
    return line(scrub(text))


# --- the cluster, or this machine


def _head(plan: RunPlan) -> Iterator[tuple[int, str]]:
    """Each line with its indent."""
    if plan.ground is not None:
        yield from _cluster(plan.ground, plan.agent_image)
    elif plan.kubernetes:
        yield 0, f"clusters are made here, of Kubernetes {plan.kubernetes}"
        for kind, steps in plan.set_up_lacks.items():
            if steps:
                yield 1, f"for {kind} set-up has still to do ({APP} setup, or --ordeal-setup): {', '.join(steps)}"
    if plan.builds:
        yield 1, f"replays would build first: {', '.join(plan.builds)}"
    for why in plan.blocked:
        yield 0, f"nothing would begin now: {why}"


def _cluster(ground: Ground, agent_image: str) -> Iterator[tuple[int, str]]:
    in_reach, context = ground.in_reach, f", context {ground.context}" if ground.context else ""
    if agent_image:
        how = f"through agents of the image {agent_image}, which a run would put onto {_named(in_reach.reached)}"
    elif NodePause in in_reach.abilities:
        how = "by their containers on this machine"
    else:
        how = "by its API alone (--ordeal-agent-image lets nodes be harmed through agents)"
    yield 0, f"cluster: {ground.server}{context}, Kubernetes {ground.kubernetes}"
    yield 1, f"its nodes are reached {how}"
    if in_reach.unusable:
        yield 1, f"no replay would get it: {in_reach.unusable}"
    for row in _rows(ground.facts[:MOST_NODES], owner_is_known=ground.consent.policy is not None):
        yield 1, row
    if len(ground.facts) > MOST_NODES:
        yield 1, f"and {len(ground.facts) - MOST_NODES} nodes more"
    if NodePause not in in_reach.abilities:
        yield 1, "not known before an agent is there: modules of their kernels, programs, SELinux"


def _rows(nodes: Sequence[NodeFacts], *, owner_is_known: bool) -> Iterator[str]:
    told = [
        (n.name, "control plane" if n.control_plane else "worker", f"{n.os_image}, {n.kernel}, {n.runtime}")
        for n in nodes
    ]
    widths = [max((len(each[column]) for each in told), default=0) for column in range(3)]
    for node, row in zip(nodes, told, strict=True):
        use = node.refused or ("may be harmed" if owner_is_known else "")
        why = f"no replay takes it, it {node.unfit}" if node.unfit and not node.control_plane else use
        yield "  ".join([*(each.ljust(width) for each, width in zip(row, widths, strict=True)), why]).rstrip()


# --- the replays


def _incidents(plan: RunPlan) -> Iterator[tuple[int, str]]:
    by_incident: dict[str, list[Prospect]] = defaultdict(list)
    for each in plan.replays:
        by_incident[each.incident].append(each)
    for incident, those in by_incident.items():
        yield 0, f"{incident}: {those[0].title}"
        alike: dict[object, list[Prospect]] = defaultdict(list)
        for each in those:
            told = (each.nodes, each.takes, each.does, each.promises, each.needs)
            only_why = each.fate is not Fate.RUNS and each.why not in plan.blocked
            alike[_function(each), each.fate, each.why, () if only_why else told].append(each)
        for group in alike.values():
            yield from _group(group, plan)


def _group(group: Sequence[Prospect], plan: RunPlan) -> Iterator[tuple[int, str]]:
    """Replays of one function of which the same is to be said."""
    one = group[0]
    yield 1, f"{_function(one)} [{', '.join(_variant(each) for each in group)}]"
    if one.fate is not Fate.RUNS:
        as_above = one.why in plan.blocked
        yield 2, f"{_SAID[one.fate]}{', as said above' if as_above else f': {one.why}'}"
        options = dict.fromkeys(each.option for each in one.needs if each.option and each.what in one.why)
        if options:
            yield 2, f"that is given by {', '.join(options)}"
        if not as_above:
            return
    else:
        yield 2, f"{_SAID[one.fate]} {_where(one, plan.ground)}"
    for doing in one.does:
        yield 2, f"does {doing.fault}: {doing.does}"
    if not one.does:
        yield 2, "does no harm"
    yield 2, f"is judged by {', '.join(one.promises) or 'nothing that it declares'}"
    if needs := _needs(one.needs):
        yield 2, f"needs {needs}"
    if uses := _uses(one.does):
        yield 2, f"on a node: {uses}"


def _where(one: Prospect, ground: Ground | None) -> str:
    if ground is None:
        nodes = f" of {one.nodes} nodes" if one.nodes is not None else ""
        return f"on a {one.cluster} cluster{nodes} that is made for it"
    if one.takes:
        return f"and harm {_named(one.takes)}"
    return f"on workers of {_named(ground.fit)}" if one.does else "and only look"


def _needs(needs: Iterable[Need]) -> str:
    return ", ".join(f"{each.what} (lacking: {each.lacks})" if each.lacks else each.what for each in needs)


def _uses(does: Sequence[Doing]) -> str:
    """All that its faults use of a node, in one line."""
    uses = [each.uses for each in does if each.uses is not None]
    parts = [
        ("", _all(uses, "capabilities")),
        ("kernel modules ", [" or ".join(each) for each in _all(uses, "modules")]),
        ("programs ", _all(uses, "programs")),
        ("brought there ", _all(uses, "tools")),
    ]
    said = [f"{what}{', '.join(map(str, those))}" for what, those in parts if those]
    said += ["SELinux's labels matter"] if any(each.labels for each in uses) else []
    said += [f"{each.fault} does not say what it uses" for each in does if each.uses is None]
    return "; ".join(said)


def _all(uses: Iterable[Uses], field: str) -> list[Any]:
    return list(dict.fromkeys(each for one in uses for each in getattr(one, field)))


def _function(one: Prospect) -> str:
    return one.test.rpartition("::")[2].partition("[")[0]


def _variant(one: Prospect) -> str:
    return f"{one.cluster}-{f'control:{one.control}' if one.control else 'hardened'}"


def _named(names: Sequence[str]) -> str:
    return ", ".join(names[:MOST_NODES]) + (f" and {len(names) - MOST_NODES} more" if len(names) > MOST_NODES else "")


def _wrapped(lines: Iterable[tuple[int, str]], width: int) -> Iterator[str]:
    width = max(NARROWEST, min(WIDEST, width))
    for depth, text in lines:
        indent = "  " * depth
        yield from textwrap.wrap(
            shown(text),
            width,
            initial_indent=indent,
            subsequent_indent=f"{indent}    ",
            break_long_words=False,
            break_on_hyphens=False,
        )
