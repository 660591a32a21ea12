"""Sets of whole numbers, written as ranges: "17-19", "23"."""

from collections.abc import Iterable, Sequence

Span = tuple[int, int]  # the first and the last
MOST_NUMBERS = 10_000_000


def ranges_of(numbers: Iterable[int]) -> tuple[str, ...]:
    """Ranges for these numbers, in order; each number counts once."""
    found: list[list[int]] = []
    for number in sorted(set(numbers)):
        if found and number == found[-1][1] + 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    return tuple(str(first) if first == last else f"{first}-{last}" for first, last in found)


def numbers_in(ranges: Sequence[str]) -> set[int]:
    """The numbers of such ranges. Raises ValueError where one is none, or they are more than a client can write."""
    spans = spans_of(ranges)
    if count(spans) > MOST_NUMBERS:
        raise ValueError(f"{count(spans)} numbers are more than any client writes")
    return {number for first, last in spans for number in range(first, last + 1)}


def spans_of(ranges: Iterable[str]) -> list[Span]:
    """Such ranges as spans, `merged`: whatever is asked of them takes no more memory than their text.

    Raises ValueError where one is none.
    """
    found: list[Span] = []
    for text in ranges:
        first, dash, last = text.partition("-")
        span = (int(first), int(last) if dash else int(first))
        if span[0] > span[1]:
            raise ValueError(f"{text!r} is no range: it ends before it begins")
        found.append(span)
    return merged(found)


def merged(spans: Iterable[Span]) -> list[Span]:
    """The same numbers in as few spans as can be, in order."""
    found: list[Span] = []
    for first, last in sorted(spans):
        if found and first <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(found[-1][1], last))
        else:
            found.append((first, last))
    return found


def count(spans: Iterable[Span]) -> int:
    """How many numbers are in spans that do not overlap."""
    return sum(last - first + 1 for first, last in spans)


def covers(spans: Sequence[Span], others: Sequence[Span]) -> bool:
    """Whether each number of the others is in these; both `merged`."""
    return count(merged([*spans, *others])) == count(spans)
