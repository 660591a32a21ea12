"""Commands about what runs have left in a results folder."""

from pathlib import Path
from typing import Annotated

import typer

from chaos.cli.history import runs_of
from chaos.cli.options import History, HistoryFile, Markdown
from chaos.cli.output import console, is_stdout, say, say_list, write_markdown
from chaos.hosts import extras

kept = typer.Typer(help="What runs have left in a results folder.", no_args_is_help=True)


def report(
    run: Annotated[str, typer.Argument(help="A run's id below the results folder, or its path.")] = "latest",
    results: Annotated[Path, typer.Option("--results", metavar="DIR", help="The results folder.")] = Path("results"),
    html: Annotated[
        bool, typer.Option("--html", help="Make the page anew, beside the results; prints its path.")
    ] = False,
    output: Annotated[
        Path | None, typer.Option("--output", metavar="FILE", help="The page goes there instead (needs no --html).")
    ] = None,
    history: History = False,
    history_file: HistoryFile = None,
    to_markdown: Markdown = None,
    exit_code: Annotated[
        bool,
        typer.Option("--exit-code", help="Exit with 0 where it is safe, 1 where it is not, 2 where nobody can say."),
    ] = False,
) -> None:
    """Show what became of a run, also of one that was killed; with --html as a page, and with --history as one on which
    a trend stands beside each figure that five runs have.
    """
    from chaos.report import brief  # noqa: PLC0415
    from chaos.report.answer import answer  # noqa: PLC0415
    from chaos.report.table import verdict_table  # noqa: PLC0415
    from chaos.results.saved import load  # noqa: PLC0415
    from chaos.results.specs import tally  # noqa: PLC0415

    saved = load(results, run)
    said = answer(saved, saved.unreadable())
    if to_markdown:
        write_markdown(brief.markdown(saved, said), to_markdown)
    past = runs_of(history, history_file)
    if html or output is not None or past is not None:
        extras.need(extras.REPORT)
        from chaos.report.html import PAGE, write_page  # noqa: PLC0415

        to = output or saved.path.with_name(PAGE)
        write_page(saved, to, past or ())
        say(to)
    elif not is_stdout(to_markdown):
        if saved.outcomes or not saved.specs:
            console().print(verdict_table(saved.outcomes, f"run {saved.id}"))
        if saved.specs:
            say(f"conformance specs: {tally(saved.specs)}")
        for each in (*said.doubts, *said.known):
            say(each)
        say(f"{said.safe}: {said.sentence}")
        passed_count = sum(o.passed for o in saved.outcomes)
        counted = f"{passed_count} of {len(saved.outcomes)} passed; " if saved.outcomes else ""
        say(f"{counted}{saved.path}")
    raise typer.Exit(brief.EXIT_CODES[said.safe] if exit_code else 0)


@kept.command("prune")
def results_prune(
    keep: Annotated[int, typer.Option(min=1, help="So many runs stay, the newest.")],
    results: Annotated[Path, typer.Option("--results", metavar="DIR", help="The results folder.")] = Path("results"),
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be removed.")] = False,
) -> None:
    """Remove the oldest runs of a results folder. What is no run's, is a link, or still goes on is left alone."""
    from chaos.report.prune import prune  # noqa: PLC0415

    pruned = prune(results, keep, dry_run=dry_run)
    for run in pruned.removed:
        say(f"{'would remove' if dry_run else 'removed'} {run.path}: {run.size_bytes / 1e6:.1f} MB")
    say_list("may still go on, and is left alone:", [str(path) for path in pruned.live])
    freed_bytes = sum(run.size_bytes for run in pruned.removed)
    said = "would be freed" if dry_run else "freed"
    say(f"{len(pruned.removed)} runs, {freed_bytes / 1e6:.1f} MB {said}; {pruned.kept} runs stay")
