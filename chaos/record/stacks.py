"""Goroutine dumps (`/debug/pprof/goroutine?debug=2`, or what a Go program writes on SIGQUIT), read and summed up."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

# With an end to each part: two without one that match the same take the square of a line's length.
_HEAD = re.compile(
    r"^goroutine \d+ (?:gp=\S+ m=\S+ (?:mp=\S+ )?)?\[([^\],]{1,100})(?:, (\d{1,9}) minutes)?[^\]]{0,100}\]:$"
)
_TOP = 12
PLEG = "(*GenericPLEG)."
RELIST = (f"{PLEG}Relist", f"{PLEG}relistPod")  # of all pods, and from 1.36 on of one (pkg/kubelet/pleg/generic.go)
SENDS = frozenset({"chan send", "chan send (nil chan)"})


@dataclass(frozen=True, slots=True)
class Goroutine:
    """One goroutine: its state as the runtime names it, whole minutes waited, functions from the innermost out."""

    state: str
    waited_min: int
    functions: tuple[str, ...]


def parse(text: str) -> tuple[Goroutine, ...]:
    """The goroutines of a dump, in its order. What is no goroutine is passed over, so a log around it does no harm."""
    return tuple(_goroutines(text))


def relist_blocked_on_send(goroutines: tuple[Goroutine, ...]) -> Goroutine | None:
    """The kubelet's PLEG relist where it waits for room in a channel: the deadlock that pull request 72709 mended."""
    for g in goroutines:
        if g.state in SENDS and g.functions and PLEG in g.functions[0] and any(f.endswith(RELIST) for f in g.functions):
            return g
    return None


def relist_of(goroutines: tuple[Goroutine, ...]) -> Goroutine | None:
    """The goroutine that is inside a PLEG relist, whatever it waits for there."""
    return next((g for g in goroutines if any(f.endswith(RELIST) for f in g.functions)), None)


def summary(text: str) -> str:
    """A dump in some lines: how many goroutines, in which states, where; and where the PLEG relist stands."""
    goroutines = parse(text)
    if not goroutines:
        return "no goroutine in this dump\n"
    lines = [f"{len(goroutines)} goroutines"]
    lines += [f"{count:6d}  {state}" for state, count in Counter(g.state for g in goroutines).most_common()]
    lines.append("where the most are (innermost function of the program's own, by state):")
    places = Counter((_place(g), g.state) for g in goroutines)
    lines += [f"{count:6d}  {place} [{state}]" for (place, state), count in places.most_common(_TOP)]
    longest = max(goroutines, key=lambda g: g.waited_min)
    if longest.waited_min:
        lines.append(f"the longest wait: {longest.waited_min} min in {_place(longest)} [{longest.state}]")
    lines.append(relist_said(goroutines))
    return "\n".join(lines) + "\n"


def relist_said(goroutines: tuple[Goroutine, ...]) -> str:
    """Where the PLEG relist stands, as one sentence."""
    inside = relist_of(goroutines)
    if inside is None:
        return "no goroutine is inside a PLEG relist"
    waited = f" for {inside.waited_min} min" if inside.waited_min else ""
    if relist_blocked_on_send(goroutines):
        return f"the PLEG relist is BLOCKED: {inside.functions[0]} waits{waited} to send on a full channel"
    return f"the PLEG relist is in {_place(inside)} [{inside.state}{waited}]"


def _goroutines(text: str) -> Iterator[Goroutine]:
    head: re.Match[str] | None = None
    functions: list[str] = []
    for line in [*text.splitlines(), ""]:
        found = _HEAD.match(line)
        if found or not line.strip():
            if head is not None:
                yield Goroutine(head.group(1), int(head.group(2) or 0), tuple(functions))
            head, functions = found, []
        elif head is not None and not line.startswith(("\t", "created by ", "...")):
            functions.append(_name(line))


def _name(line: str) -> str:
    """`pkg.(*Type).Method(0x1, {0x2, 0x3})` without its arguments."""
    depth = 0
    for at in range(len(line) - 1, -1, -1):
        depth += (line[at] == ")") - (line[at] == "(")
        if depth == 0:
            return line[:at] if line[at] == "(" else line
    return line


def _place(g: Goroutine) -> str:
    """The innermost function that is not of Go's own library: those have no dot in their path's first part."""
    own = (f for f in g.functions if "." in f.partition("/")[0] and "/" in f)
    return next(own, g.functions[0] if g.functions else "nowhere")
