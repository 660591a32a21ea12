"""The tutorial, as its reader does it: in a copy of the checkout, step by step, and it prints what the page shows."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from chaos.hosts.places import state_dir
from tests.lesson import Step, alike, copy_checkout, steps

STEP_WITHIN_S = 300
WORKER = os.environ.get("PYTEST_XDIST_WORKER", "")
VERDICTS = ("=== quota-cut", "  held: ", "  violated: ", "  unknown: ")


def test_each_step_prints_what_the_page_shows(tmp_path: Path) -> None:
    copy = copy_checkout(tmp_path / "checkout")
    # State of its own: what is undone here is this run's. It is beside that of the processes of tests (conftest.py).
    mine = state_dir().parent
    state = (mine.parent if WORKER else mine / "kube-ordeal-tests") / f"tutorial{WORKER}"
    # Of the same environment the copy's own modules; what pytest says to its children is not for these.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    environment |= {"PYTHONPATH": str(copy), "PATH": f"{Path(sys.executable).parent}:{environment['PATH']}"}
    environment["XDG_STATE_HOME"] = str(state)
    imported = 'python -c "import chaos, tests.lesson; print(chaos.__file__, tests.lesson.__file__)"'
    assert _run(imported, copy, environment)[1] == [f"{copy}/chaos/__init__.py {copy}/tests/lesson.py"]
    for step in steps():
        for name, text in step.files.items():
            (copy / name).write_text(text)
        _compare(step, *_run(step.commands, copy, environment))
    typed = "mypy chaos/subjects/quota suites/quota tests/subjects/quota tests/integration/test_quota.py"
    assert _run(typed, copy, environment)[0] == 0
    assert _run("kube-ordeal undo", copy, environment)[1] == ["nothing to undo"]


def _run(commands: str, copy: Path, environment: dict[str, str]) -> tuple[int, list[str]]:
    """The exit code, and the lines of both outputs."""
    child = subprocess.Popen(
        ["bash", "-euo", "pipefail", "-c", commands],
        cwd=copy,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        said = child.communicate(timeout=STEP_WITHIN_S)[0]
    except BaseException:
        os.killpg(child.pid, signal.SIGINT)  # a run takes its cluster with it
        print(child.communicate(timeout=STEP_WITHIN_S)[0])
        raise
    print(said)
    return child.returncode, said.splitlines()


def _compare(step: Step, code: int, printed: list[str]) -> None:
    shown, said = [alike(line) for line in step.shown], [alike(line) for line in printed]
    assert (code == 0) != any(" failed, " in line for line in shown), step.title
    rest = iter(said)
    missing = [line for line in shown if line not in rest]  # in this order
    assert missing == [], step.title
    verdicts = [line for line in said if line.startswith(VERDICTS)]
    assert [line for line in shown if line.startswith(VERDICTS)] == verdicts, step.title
