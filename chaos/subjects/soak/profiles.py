"""What a Go component says of itself as text: its heap, its goroutines (net/http/pprof, debug=1), its figures."""

import re
from collections import Counter
from collections.abc import Iterator
from math import exp, isfinite

from chaos.subjects.soak.records import Keeper

KEPT = 100  # of those who hold the most
# runtime/pprof, writeHeapInternal: the sampling rate is half of the number behind the slash.
_HEAP = re.compile(r"^heap profile: \d{1,18}: \d{1,18} \[\d{1,18}: \d{1,18}\] @ heap/(\d{1,12})$")
_LIVE = re.compile(r"^# HeapAlloc = (\d{1,18})$", re.MULTILINE)
_OF_HEAP = re.compile(r"^(\d{1,18}): (\d{1,18}) \[\d{1,18}: \d{1,18}\] @")
_GOROUTINES = re.compile(r"^goroutine profile: total (\d{1,9})$")
_OF_GOROUTINES = re.compile(r"^(\d{1,9}) @")
_FUNCTION = re.compile(r"^#\t0x[0-9a-f]{1,16}\t([^\t]{1,500})\+0x[0-9a-f]{1,16}\t")


def heap(text: str) -> tuple[int, tuple[Keeper, ...]]:
    """The bytes that are live, and those who hold the most of them, by the samples that the runtime took.

    Asked with gc=1 what is live is exact: MemStats.HeapAlloc after a collection. Raises ValueError for another text.
    """
    head = _HEAP.match(text.partition("\n")[0])
    live = _LIVE.search(text)
    if head is None or live is None:
        raise ValueError("it is no heap profile as text")
    rate = int(head[1]) / 2
    found: Counter[str] = Counter()
    for first, functions in _stacks(text, _OF_HEAP):
        objects, held = int(first[1]), int(first[2])
        if objects:
            # A sample stands for all that were not taken: runtime/pprof, scaleHeapSample.
            found[_name(functions)] += round(held / (1 - exp(-held / objects / rate))) if rate > 1 else held
    return int(live[1]), _most(found)


def goroutines(text: str) -> tuple[int, tuple[Keeper, ...]]:
    """How many there are, and where the most of them stand. Raises ValueError for another text."""
    head = _GOROUTINES.match(text.partition("\n")[0])
    if head is None:
        raise ValueError("it is no goroutine profile as text")
    found: Counter[str] = Counter()
    for first, functions in _stacks(text, _OF_GOROUTINES):
        found[_name(functions)] += int(first[1])
    return int(head[1]), _most(found)


def figure(text: str, metric: str, *labels: str) -> float:
    """The sum of a metric's lines that have all of the labels (each as `name="value"`), of Prometheus' text format.

    Raises ValueError where there is no such line, or a value is no finite number.
    """
    lines = [line for line in text.split("\n") if line.startswith((f"{metric}{{", f"{metric} "))]
    wanted = [line for line in lines if all(label in line for label in labels)]
    values = [float(line.rpartition(" ")[2]) for line in wanted]
    if not values or not all(isfinite(value) for value in values):
        raise ValueError(f"there is no figure {metric}{{{','.join(labels)}}}")
    return sum(values)


def _stacks(text: str, head: re.Pattern[str]) -> Iterator[tuple[re.Match[str], list[str]]]:
    """The first line of each stack, and its functions from the innermost out."""
    first: re.Match[str] | None = None
    functions: list[str] = []
    for line in [*text.split("\n"), ""]:
        begins = head.match(line)
        if begins or not line:
            if first is not None:
                yield first, functions
            first, functions = begins, []
        elif first is not None and (function := _FUNCTION.match(line)):
            functions.append(function[1])


def _name(functions: list[str]) -> str:
    """The innermost function, and the innermost that is of Kubernetes itself where that is another one."""
    innermost = functions[0] if functions else "nowhere"
    own = next((f for f in functions if f.startswith("k8s.io/")), innermost)
    return innermost if own == innermost else f"{innermost} by {own}"


def _most(found: Counter[str]) -> tuple[Keeper, ...]:
    return tuple(Keeper(stack, held) for stack, held in found.most_common(KEPT))
