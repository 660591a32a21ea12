"""Options that several commands have."""

from pathlib import Path
from typing import Annotated

import typer

from chaos.errors import OrdealError
from chaos.hosts.bundles import DEFAULT_KUBERNETES, normal_version
from chaos.hosts.target import Target


def a_version(text: str) -> str:
    """A Kubernetes version without its "v". Raises typer.BadParameter for what is none."""
    try:
        return normal_version(text)
    except OrdealError as error:
        raise typer.BadParameter(str(error)) from error


Json = Annotated[bool, typer.Option("--json", help="As JSON, for programs.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Kubernetes = Annotated[
    list[str] | None,
    typer.Option(
        "--kubernetes", metavar="VERSION", help=f"Kubernetes version; may be repeated. [default: {DEFAULT_KUBERNETES}]"
    ),
]
Wanted = Annotated[Target, typer.Option("--for", help="The kind of cluster to get ready for.")]
DEFAULT_ALPHA, DEFAULT_RELEVANT = 0.02, 0.2
Allow = Annotated[
    Path | None, typer.Option("--allow", metavar="FILE", help="What may be worse, until when and why (YAML).")
]
Alpha = Annotated[
    float,
    typer.Option(min=0.0001, max=0.5, help="The chance, over all figures, that noise is called a regression."),
]
Relevant = Annotated[
    float, typer.Option(min=0.0, max=10.0, help="The change of a figure that matters, as a part of the base's mean.")
]
History = Annotated[
    bool, typer.Option("--history", help="Use the history of runs that `history add` keeps in the state folder.")
]
HistoryFile = Annotated[
    Path | None, typer.Option("--history-file", metavar="FILE", help="Use this history instead (needs no --history).")
]
Markdown = Annotated[
    Path | None,
    typer.Option("--markdown", metavar="FILE", help="Write a summary for a pull request; `-` for standard output."),
]
