"""Sets of whole numbers, written as ranges: "17-19", "23"."""

from collections.abc import Iterable, Sequence


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
    """The numbers of such ranges. Raises ValueError where one is none."""
    found: set[int] = set()
    for text in ranges:
        first, _, last = text.partition("-")
        found.update(range(int(first), int(last or first) + 1))
    return found
