"""What a campaign found, as Markdown: the figures, the table by kind and field, the survivors, what was refused."""

from collections.abc import Iterable, Mapping, Sequence

from chaos.campaign.edits import Way, every
from chaos.campaign.outcome import Came, Result, counts


def page(results: Sequence[Result], told: Mapping[str, str]) -> str:
    """All of it. `told`: facts of the run and the machine, by their names."""
    order = {each.name: number for number, each in enumerate(every())}
    results = sorted(results, key=lambda each: order[f"{each.kind} {each.field} {each.way}"])
    lines = [
        *(f"- {name}: {value}" for name, value in told.items()),
        "",
        _figures(results),
        "",
        *_rows(("kind", "field", *Way), [_line(*each, results) for each in _fields(results)]),
        "",
        "Harm that nothing named:",
        "",
        *_listed(f"{_name(each)}: {each.differs[0]}{_why(each)}" for each in results if each.harmed and not each.named),
        "",
        "Called harm where there was none:",
        "",
        *_listed(f"{_name(each)}: {each.named[0][0]}: {each.named[0][1]}" for each in results if each.false_alarm),
        "",
        "Unknown:",
        "",
        *_listed(f"{_name(each)}: {each.said}" for each in results if each.came is Came.UNKNOWN),
        "",
        "Refused, and what the API server said:",
        "",
        *_listed(f"{_name(each)}: {each.said}" for each in results if each.came is Came.REFUSED),
        "",
    ]
    return "\n".join(lines)


def _figures(results: Sequence[Result]) -> str:
    found = counts(results)
    share = 100 * found["named"] / found["harmed"] if found["harmed"] else 0.0
    return (
        f"**{found['named']} of {found['harmed']} harmful edits were named by a promise ({share:.0f} %); "
        f"{found['false alarms']} of {found['harmless']} harmless ones were called harm.** Of {found['edits']} edits "
        f"{found['mended']} harmful ones mended themselves, {found['refused']} were refused, for "
        f"{found['no such field']} there was nothing to take away, and of {found['unknown']} nobody can say."
    )


def _fields(results: Sequence[Result]) -> list[tuple[str, str]]:
    return list(dict.fromkeys((each.kind, each.field) for each in results))


def _line(kind: str, field: str, results: Sequence[Result]) -> tuple[str, ...]:
    by_way = {each.way: each for each in results if (each.kind, each.field) == (kind, field)}
    return (kind, f"`{field}`", *(_cell(by_way.get(way)) for way in Way))


def _cell(each: Result | None) -> str:
    if each is None:
        return "not tried"
    names = ", ".join(f"`{name}`" for name in dict.fromkeys(name for name, _ in each.named))
    if each.harmed:
        return f"{each.came}: {names or '**not named**'}"
    return f"**called harm**: {names}" if names else str(each.came)


def _name(each: Result) -> str:
    return f"{each.kind} `{each.field}`, {each.way}"


def _why(each: Result) -> str:
    """What the promises that could say nothing have to say of that."""
    return "".join(f"; {name} is unknown: {said}" for name, said in each.unknown[:1])


def _listed(lines: Iterable[str]) -> list[str]:
    found = [f"- {each}" for each in lines]
    return found or ["- none"]


def _rows(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [_row(head), _row(["---"] * len(head)), *map(_row, rows)]


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
