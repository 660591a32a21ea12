"""pytest with the suites that come with this distribution: `kube-ordeal run`, and `pytest --pyargs chaos.suites`."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from chaos.errors import OrdealError
from chaos.hosts.places import beside, suites_dir
from chaos.run import options

SUITES = "suites"  # how the folder is called in a command line
MODULE = "chaos.suites"  # the same for --pyargs
IGNORE = "--ignore"  # takes a path
NAME_TESTS = ("-k", "-m", "--deselect")  # take something else than a path
SETTINGS = Path(__file__).with_name("pytest.ini")
PLUGIN = "chaos.plugin"


def pytest(folder: Path) -> list[str]:
    """The command of a pytest that is run in that folder. -P: what lies there is no module."""
    settings = ["-c", str(SETTINGS), "--rootdir", str(beside()), "-o", f"cache_dir={folder / '.pytest_cache'}"]
    return [sys.executable, "-P", "-m", "pytest", "-p", PLUGIN, *settings]


def named(arguments: Sequence[str]) -> list[str]:
    """The arguments, with the path of ours for each that is `suites/...`; with all suites where no test file, folder or
    test is named. Raises OrdealError for `suites/...` that is neither one of ours nor there.
    """
    made, is_named = [], False
    for before, each in zip(("", *arguments), arguments, strict=False):
        option, equals, value = each.partition("=")
        if before in NAME_TESTS:
            made.append(each)
        elif option == IGNORE and equals:
            made.append(f"{IGNORE}={located(value) or value}")
        else:
            made.append(located(each) or each)
            path = each.partition("::")[0]
            is_ours = path.partition("/")[0] == SUITES
            if made[-1] == each and is_ours and not Path(path).exists():
                there = sorted(f"{SUITES}/{found.parent.name}" for found in suites_dir().glob("*/test_*.py"))
                raise OrdealError(f"there is no {path}; there are {', '.join(dict.fromkeys(there))}")
            is_named = is_named or (before != IGNORE and (is_ours or path.endswith(".py")))
    return made if is_named else [str(suites_dir()), *made]


def planned(arguments: Sequence[str], *, as_json: bool) -> list[str]:
    """The arguments of a run, with the option that has it only say what it would do."""
    return [f"--{options.PREFIX}-plan{'-json' if as_json else ''}", *arguments]


def run(arguments: Sequence[str]) -> NoReturn:
    """Become that pytest: its signals, its output and its exit code."""
    argv = [*pytest(Path.cwd()), *named(arguments)]
    sys.stdout.flush()
    os.execv(argv[0], argv)  # noqa: S606  (a list, no shell)


def located(argument: str) -> str:
    """The absolute path of what `suites/...` names, with what follows `::`; "" where it names nothing of ours."""
    path, colons, rest = argument.partition("::")
    first, _, below = path.partition("/")
    there = suites_dir() / below
    return f"{there}{colons}{rest}" if first == SUITES and there.exists() else ""


def imported(argument: str) -> str:
    """The same for `chaos.suites.control_plane.test_mutants::test_name`."""
    module, colons, rest = argument.partition("::")
    if module != MODULE and not module.startswith(f"{MODULE}."):
        return ""
    there = suites_dir().joinpath(*module.removeprefix(MODULE).strip(".").split("."))
    found = next((each for each in (there, there.with_name(f"{there.name}.py")) if each.exists()), None)
    return f"{found}{colons}{rest}" if found else ""


def help_text() -> str:
    """What `kube-ordeal run --help` prints."""
    lines = [
        "Usage: kube-ordeal run [suites/...] [OPTIONS OF PYTEST]",
        "",
        "Replay incidents: pytest with the suites that come with it, in whatever folder. Results go to ./results,",
        "the exit code is pytest's. Where the documentation says `pytest suites/...`, `kube-ordeal run suites/...`",
        "does the same; all suites are run where none is named. Every option of pytest and its plugins is taken",
        "(pytest --help).",
        "",
        "    kube-ordeal run --collect-only -q",
        "    kube-ordeal run suites/control_plane -k mass --ordeal-cluster simulated",
        "",
        "Options of its own:",
    ]
    for each in options.OPTIONS:
        lines += [f"  {each.usage}", f"      {each.help}"]
    return "\n".join(lines)
