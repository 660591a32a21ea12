"""What the owner of a cluster allows: read from the ConfigMap kube-system/kube-ordeal-guard, which is in the cluster.

The ConfigMap's key `guard` has YAML, its key `halt` ends all harm. Nothing is allowed that it does not name.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, time
from fnmatch import fnmatchcase
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from chaos.basics.untrusted import yaml_of
from chaos.errors import OrdealError

NAME, POLICY, HALT = "kube-ordeal-guard", "guard", "halt"
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_WINDOW = re.compile(r"(?P<from>\w{3})(?:-(?P<to>\w{3}))? (?P<begin>\d\d:\d\d)-(?P<end>\d\d:\d\d)(?: (?P<zone>\S+))?")
_PERCENT = re.compile(r"(\d{1,3})%")
_TERM = re.compile(r"(?P<key>[\w./-]+)\s*(?P<how>==|=|!=)\s*(?P<value>[\w.-]*)")


class Url(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="url", tag_field="kind"):
    """Harm ends when this URL does not answer with 2xx."""

    url: str


class Query(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="promql", tag_field="kind"):
    """Harm ends when this query, of Prometheus at `url`, finds anything, as an alert's does."""

    url: str
    query: str


class PodsReady(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="pods", tag_field="kind"):
    """Harm ends when a pod of this namespace is not Ready; one that has ended well is."""

    namespace: str


Condition = Url | Query | PodsReady


@dataclass(frozen=True, slots=True)
class NodeToHarm:
    """A node as the guard sees it."""

    name: str
    labels: Mapping[str, str]
    control_plane: bool


class Policy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All that is allowed.

    `nodes`: a label selector (`key=value`, `key!=value`, `key`, joined by commas); "" is every node. `control_plane`:
    control-plane nodes too. `most_nodes`: so many at once, as a number or as "25%" of all that the cluster has.
    `namespaces`, `incidents`, `faults`: patterns with * and ?. `windows`: "mon-fri 09:00-17:00 Europe/Berlin", UTC
    where no zone is named; none is always. `stop`: what ends all harm.
    """

    nodes: str = "kube-ordeal/allowed=true"
    control_plane: bool = False
    most_nodes: int | str = 1
    namespaces: tuple[str, ...] = ("ordeal-*",)
    incidents: tuple[str, ...] = ("*",)
    faults: tuple[str, ...] = ("*",)
    windows: tuple[str, ...] = ()
    stop: tuple[Condition, ...] = ()

    def names_fault(self, kind: str) -> bool:
        """Whether faults of that kind may be done."""
        return _any(self.faults, kind)

    def refuses(self, node: NodeToHarm) -> str:
        """Why that node may not be harmed, in words; "" where it may."""
        if node.control_plane and not self.control_plane:
            return f"the guard allows no control-plane node, and {node.name} is one"
        if not _matches(self.nodes, node.labels):
            return f"the guard allows nodes with {self.nodes!r} alone, and {node.name} does not have that"
        return ""

    def check(self) -> None:
        """Raise OrdealError, with what to mend, for what nobody could obey."""
        _terms(self.nodes)
        _most(self.most_nodes, 1)
        for each in self.windows:
            _window(each)


@dataclass(frozen=True, slots=True)
class Consent:
    """The ConfigMap as it is now. `policy` is None where the cluster has none."""

    policy: Policy | None
    halted: bool = False

    def refuses(
        self,
        incident: str,
        fault: str,
        nodes: Collection[NodeToHarm],
        namespaces: Collection[str],
        *,
        harmed: Collection[str],
        of: int,
        at: datetime,
    ) -> str:
        """Why that is not allowed, in words; "" where it is. `harmed`: what is harmed already; `of`: all nodes."""
        if self.policy is None or self.stops(at):
            return self.stops(at)
        whys = (
            *_unnamed("incident", self.policy.incidents, [incident]),
            *_unnamed("fault", self.policy.faults, [fault]),
            *_unnamed("namespace", self.policy.namespaces, namespaces),
            *(why for node in nodes if (why := self.policy.refuses(node))),
        )
        if whys:
            return whys[0]
        if not nodes and not namespaces and not self.policy.control_plane:
            return f"{fault} names no node and no namespace: it is the control plane's, which the guard does not allow"
        together, most = sorted({*harmed, *(each.name for each in nodes)}), _most(self.policy.most_nodes, of)
        if nodes and len(together) > most:
            them = "1 node" if most == 1 else f"{most} nodes"
            return f"the guard allows {them} at once, and {', '.join(together)} would be {len(together)}"
        return ""

    def stops(self, at: datetime) -> str:
        """Why nothing may be harmed now, in words; "" where something may."""
        if self.policy is None:
            return "the cluster has no guard: its owner makes one with `kube-ordeal guard init` (docs/guard.md)"
        if self.halted:
            return "the owner has halted all harm (`kube-ordeal halt --off` allows it again)"
        if self.policy.windows and not any(_is_within(each, at) for each in self.policy.windows):
            return f"the guard allows harm only {', '.join(self.policy.windows)}"
        return ""


def consent_of(data: Mapping[str, str] | None) -> Consent:
    """What the ConfigMap's data says; None: there is none. Raises OrdealError for what can't be read: a guard that
    nobody understands allows nothing.
    """
    if data is None:
        return Consent(None)
    return Consent(read(data.get(POLICY, "")), halted=data.get(HALT, "").strip().lower() not in {"", "false", "no"})


def read(text: str) -> Policy:
    """A policy from YAML. Raises OrdealError for what is none."""
    try:
        found: Any = yaml_of(text.encode()) if text.strip() else {}
        policy = msgspec.convert(found, Policy)
    except (ValueError, msgspec.ValidationError) as error:
        raise OrdealError(
            f"the guard can't be read ({error}), so nothing is allowed; docs/guard.md has its form"
        ) from error
    policy.check()
    return policy


def written(policy: Policy) -> str:
    """The same as YAML, all of it."""
    return msgspec.yaml.encode(policy).decode()


def _unnamed(what: str, patterns: Collection[str], names: Collection[str]) -> tuple[str, ...]:
    return tuple(f"the guard does not name the {what} {each}" for each in names if not _any(patterns, each))


def _any(patterns: Collection[str], name: str) -> bool:
    return any(fnmatchcase(name, each) for each in patterns)


def _terms(selector: str) -> list[tuple[str, str, str]]:
    """Key, operator and value of each; an operator of "" asks only whether the label is there."""
    found = []
    if selector and not selector.replace(",", "").strip():
        raise OrdealError(f"the guard's selector {selector!r} names nothing; an empty one is every node")
    for each in filter(None, (term.strip() for term in selector.split(","))):
        parts = _TERM.fullmatch(each)
        if parts is None and not re.fullmatch(r"[\w./-]+", each):
            raise OrdealError(
                f"the guard's selector {selector!r} can't be read at {each!r}: write key=value, key!=value or key"
            )
        found.append((parts["key"], parts["how"].replace("==", "="), parts["value"]) if parts else (each, "", ""))
    return found


def _matches(selector: str, labels: Mapping[str, str]) -> bool:
    for key, how, value in _terms(selector):
        if how == "!=" and labels.get(key) == value:
            return False
        if how == "=" and labels.get(key) != value:
            return False
        if not how and key not in labels:
            return False
    return True


def _most(asked: int | str, of: int) -> int:
    """So many nodes. Of a percentage what is whole: 33% of 2 is none."""
    if isinstance(asked, int):
        if asked < 0:
            raise OrdealError(
                f"the guard's most_nodes is {asked}: write a number of nodes, or a percentage such as 25%"
            )
        return asked
    parts = _PERCENT.fullmatch(asked.strip())
    if parts is None or int(parts[1]) > 100:
        raise OrdealError(f"the guard's most_nodes is {asked!r}: write a number of nodes, or a percentage such as 25%")
    return of * int(parts[1]) // 100


@dataclass(frozen=True, slots=True)
class _Window:
    days: frozenset[int]
    begin: time
    end: time
    zone: ZoneInfo


def _window(text: str) -> _Window:
    parts = _WINDOW.fullmatch(text.strip())
    try:
        if parts is None:
            raise ValueError("it has no such form")  # noqa: TRY301
        first = DAYS.index(parts["from"].lower())
        last = DAYS.index((parts["to"] or parts["from"]).lower())
        begin, end = (time.fromisoformat(parts[each]) for each in ("begin", "end"))
        zone = ZoneInfo(parts["zone"] or "UTC")
    except (ValueError, OSError, ZoneInfoNotFoundError) as error:
        raise OrdealError(
            f"the guard's window {text!r} can't be read ({error}): write it as mon-fri 09:00-17:00 Europe/Berlin"
        ) from error
    if begin >= end:
        raise OrdealError(f"the guard's window {text!r} ends before it begins: write two, one for each day")
    days = range(first, last + 1) if first <= last else (*range(first, 7), *range(last + 1))
    return _Window(frozenset(days), begin, end, zone)


def _is_within(text: str, at: datetime) -> bool:
    window = _window(text)
    there = at.astimezone(window.zone)
    return there.weekday() in window.days and window.begin <= there.time() < window.end
