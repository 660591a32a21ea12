"""Commands that compare runs: those that are there, or of two versions that are run now."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from chaos.cli.history import runs_of
from chaos.cli.options import (
    DEFAULT_ALPHA,
    DEFAULT_RELEVANT,
    Allow,
    Alpha,
    History,
    HistoryFile,
    Json,
    Markdown,
    Relevant,
    a_version,
)
from chaos.cli.output import (
    INTERRUPTED,
    USER_ERROR,
    console,
    is_stdout,
    print_json,
    say,
    say_error,
    timestamped,
    write_markdown,
)
from chaos.errors import OrdealError
from chaos.hosts import extras
from chaos.hosts.places import APP

if TYPE_CHECKING:
    from chaos.report.allowed import AllowList
    from chaos.report.compare import Side
    from chaos.results.past import PastRun


def compare(
    base: Annotated[
        str, typer.Argument(help="Runs that are the measure: ids or paths, joined by commas; or a folder.")
    ],
    candidate: Annotated[str, typer.Argument(help="Runs that are to be as good, in the same way.")],
    results: Annotated[Path, typer.Option("--results", metavar="DIR", help="The results folder.")] = Path("results"),
    allow: Allow = None,
    alpha: Alpha = DEFAULT_ALPHA,
    relevant: Relevant = DEFAULT_RELEVANT,
    history: History = False,
    history_file: HistoryFile = None,
    to_markdown: Markdown = None,
    as_json: Json = False,
) -> None:
    """Compare runs, verdict by verdict and figure by figure. Several runs of each side are repeats.

    Exits with 0 where the candidate is better or equal, 1 where it regressed, 2 where that can't be told.
    """
    extras.need(extras.GATE)
    from chaos.report.compare import load_side  # noqa: PLC0415

    past = runs_of(history, history_file)
    sides = load_side(results, base), load_side(results, candidate)
    raise typer.Exit(_compare(*sides, allow, alpha, relevant, past, to_markdown, as_json))


def gate(
    arguments: Annotated[
        list[str] | None, typer.Argument(metavar="[-- PYTEST ARGUMENTS]", help="Further arguments for pytest.")
    ] = None,
    before: Annotated[str, typer.Option("--from", metavar="VERSION", help="Kubernetes version of the base.")] = "",
    after: Annotated[str, typer.Option("--to", metavar="VERSION", help="Kubernetes version of the candidate.")] = "",
    image_before: Annotated[
        str, typer.Option("--image-from", metavar="IMAGE", help="Node image of the base, for kind clusters.")
    ] = "",
    image_after: Annotated[
        str, typer.Option("--image-to", metavar="IMAGE", help="Node image of the candidate, for kind clusters.")
    ] = "",
    repeat: Annotated[
        int, typer.Option(min=1, max=50, help="Runs of each version; figures can be told from noise from 4 on.")
    ] = 5,
    every: Annotated[
        bool, typer.Option("--every-repeat", help="Run all repeats, also where the answer is known before.")
    ] = False,
    expression: Annotated[
        str, typer.Option("-k", metavar="EXPRESSION", help="Only the replays that match, as in pytest.")
    ] = "",
    results: Annotated[Path, typer.Option("--results", metavar="DIR", help="The results folder.")] = Path("results"),
    allow: Allow = None,
    alpha: Alpha = DEFAULT_ALPHA,
    relevant: Relevant = DEFAULT_RELEVANT,
    history: History = False,
    history_file: HistoryFile = None,
    to_markdown: Markdown = None,
) -> None:
    """Run the suites on two versions in turn, several times each, and compare: may the cluster be upgraded?

    Exits with 0 where the second is better or equal, 1 where it regressed, 2 where that can't be told.
    """
    extras.need(extras.GATE)
    from chaos.cli import gate as gating  # noqa: PLC0415
    from chaos.report import looks  # noqa: PLC0415
    from chaos.report.compare import load_side  # noqa: PLC0415

    base, candidate = (
        gating.Version(a_version(version) if version else "", image)
        for version, image in ((before, image_before), (after, image_after))
    )
    for version, option in ((base, "--from"), (candidate, "--to")):
        if not version.options:
            raise OrdealError(f"say what to run: {option} VERSION, or --image{option[1:]} IMAGE for kind clusters")
    if allow:
        _allow_list(allow)  # wrong ones are told now, not after hours
    past = runs_of(history, history_file)
    more = [*(["-k", expression] if expression else []), *(arguments or [])]
    gating.check_ready((base, candidate), more)

    def known(one: Path, other: Path) -> looks.Standing:
        there = load_side(results, str(one)), load_side(results, str(other))
        return looks.look(*there, repeats=repeat, alpha=alpha, relevant=relevant, allow=_allow_list(allow))

    ran = gating.run(
        base,
        candidate,
        repeats=repeat,
        arguments=more,
        results=results,
        report=timestamped(),
        known=None if every else known,
    )
    left = alpha if every else ran.alpha or looks.Plan(repeat, alpha).at(repeat)
    say(f"to compare again: {APP} compare {ran.base} {ran.candidate}{f' --alpha {left:g}' if left != alpha else ''}")
    sides = [load_side(results, str(folder)) for folder in (ran.base, ran.candidate)]
    code = _compare(sides[0], sides[1], allow, left, relevant, past, to_markdown, as_json=False)
    if ran.cut_short:
        say_error(f"{ran.cut_short}: what is compared above is not all")
        code = INTERRUPTED if ran.interrupted else USER_ERROR
    raise typer.Exit(code)


def _allow_list(path: Path | None) -> "AllowList | None":
    from chaos.report import allowed  # noqa: PLC0415

    return allowed.load(path, datetime.now(UTC).date()) if path else None


def _compare(
    base: "Side",
    candidate: "Side",
    allow: Path | None,
    alpha: float,
    relevant: float,
    past: "Sequence[PastRun] | None",
    to_markdown: Path | None,
    as_json: bool,
) -> int:
    from chaos.report import summary  # noqa: PLC0415
    from chaos.report.compare import compare as compared  # noqa: PLC0415
    from chaos.report.equal_versions import with_equal_versions  # noqa: PLC0415

    made = compared(base, candidate, _allow_list(allow), alpha=alpha, relevant=relevant)
    made = with_equal_versions(made, past)
    if as_json and is_stdout(to_markdown):
        raise OrdealError("--json and --markdown - both write to standard output: give --markdown a file")
    if to_markdown:
        write_markdown(summary.markdown(made), to_markdown)
    if as_json:
        print_json(summary.as_json(made))
    elif not is_stdout(to_markdown):
        console().print(summary.terminal(made))
    return made.exit_code
