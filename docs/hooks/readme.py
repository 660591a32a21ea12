"""The table of incidents in README.md, made from the catalogue and the suites: `make readme` writes it."""

from pathlib import Path

from chaos.run.suites import by_incident

README = Path(__file__).resolve().parents[2] / "README.md"
HEADING = "## The incidents\n"
HEAD = "| incident | what goes wrong | replayed on | controls |\n| --- | --- | --- | --- |\n"


def rows() -> list[str]:
    """A row for each incident, by its id."""
    made = []
    for each, there in by_incident().items():
        on = ", ".join(sorted({kind for suite in there for kind in suite.replay.on}))
        controls = ", ".join(f"`{control.id}`" for control in each.controls)
        made.append(f"| `{each.id}` | {each.title} | {on} | {controls} |\n")
    return made


def renewed(text: str) -> str:
    """README.md with the table as it has to be. Raises ValueError where there is none."""
    at = text.index(HEAD, text.index(HEADING)) + len(HEAD)
    end = text.index("\n\n", at) + 1
    return text[:at] + "".join(rows()) + text[end:]


if __name__ == "__main__":
    README.write_text(renewed(README.read_text()))
