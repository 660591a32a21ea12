"""tests/bench/first.py: what is read from the output of `make run`, and a whole measurement of a clone that only says
what a real one says.
"""

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from chaos.errors import OrdealError
from chaos.results.saved import load
from tests.bench import first
from tests.bench.child import Ended, Line, run_to_end
from tests.bench.first import BUILT, Marks, marks, measure, table, verdicts
from tests.report.made import proven

ROOT = Path(__file__).parents[2]
ONE_BUNDLE = """\
0 making .venv
1 installing the Python packages of requirements.lock
100 10:01:40 set-up: set-up will put into its cache:
101 10:01:41 set-up: 10:01:41 start: kubernetes 1.34.4
102 10:01:42 set-up: 10:01:42   building kubernetes 1.34.4 from Go modules: kube-apiserver, kubectl
130 0 of 18 done | over in about 20 min, at 10:22 | set-up: 10:01:42   building kubernetes 1.34.4
500 10:08:20 set-up: 10:08:20   built kubernetes 1.34.4 in 398 s
501 10:08:21 set-up: 10:08:21 done: kubernetes 1.34.4, 399.2 s
510 10:08:30 [gw0] === node-flap [simulated-hardened]
530 0 of 18 done | set-up: 10:08:20   built kubernetes 1.34.4 in 398 s
560 10:09:20 [gw0] === node-flap: held, passed: no pod was deleted
700 10:11:40 set-up: 10:11:40 done: node image 1.34.4, 40.0 s
701 10:11:41 set-up: nothing was changed on this machine but the cache
730 1 of 18 done | set-up: 10:11:40 done: node image 1.34.4, 40.0 s
900 10:15:00 [gw1] === mass-termination: not verified, FAILED: the cut was not seen
"""
TWO_BUNDLES = """\
80 ===== test session starts =====
300 10:05:00 set-up: 10:05:00   built control-plane 1.34.4 in 220 s
420 10:07:00 [gw0] === node-flap: violated, passed: 4 pods were deleted
600 10:10:00 set-up: 10:10:00   built kubernetes 1.34.4 in 290.5 s
640 10:10:40 set-up: 10:10:40   built conformance 1.34.4 in 30 s
"""


def lines(text: str) -> list[Line]:
    """Each line begins with the second in which it came."""
    return [Line(float(at), said) for at, _, said in (line.partition(" ") for line in text.splitlines())]


def ended(*said: Line, code: int = 0, took_s: float = 1000.0) -> Ended:
    return Ended(code, took_s, said, interrupted=False, load=(0.5, 2.25), idle=0.39, busy_s=1220.0)


def test_kubernetes_that_is_built_at_once() -> None:
    assert marks(lines(ONE_BUNDLE)) == Marks(100.0, 500.0, 560.0, 701.0, 398.0)


def test_kubernetes_that_is_built_in_two_parts() -> None:
    assert marks(lines(TWO_BUNDLES)) == Marks(80.0, 300.0, 420.0, None, 510.5)


def test_a_machine_that_has_everything() -> None:
    assert marks(lines("2 nothing is missing: this machine is ready")) == Marks(2.0, None, None, 2.0, None)


def test_what_replays_say_of_their_begin_is_no_verdict() -> None:
    assert marks(lines("5 10:08:30 [gw0] === node-flap [simulated-hardened]")).first_verdict_s is None


def test_the_patterns_are_those_of_what_is_said() -> None:
    """Where the lines are changed in the product, this bench must follow."""
    sources = ("hosts/binaries.py", "setup/steps.py", "cli/machine.py", "session/run.py")
    said = {name: (ROOT / "chaos" / name).read_text() for name in sources}
    assert 'f"built {title} in {' in said["hosts/binaries.py"]
    assert 'f"done: {step.title}, {' in said["setup/steps.py"]
    assert '"nothing is missing: ' in said["cli/machine.py"]
    assert '"take it back with: ' in said["cli/machine.py"].replace('f"', '"')
    assert '"nothing was changed on this machine but the cache"' in said["cli/machine.py"]
    assert "=== {outcome.id}: {outcome.verdict}, {'passed' if outcome.passed else 'FAILED'}: " in said["session/run.py"]
    assert BUILT.search("  built kubernetes 1.34.4 in 627 s")


def test_the_table_puts_what_was_seen_against_the_goals() -> None:
    said = table(Marks(100.0, 500.0, 560.0, 701.0, 398.0), ended())
    assert said == [
        "                                after   of Kubernetes  to reach",
        "Python environment ready        100 s   0.25 x",
        "control plane's programs built  500 s   1.26 x",
        "first verdict                   560 s   1.41 x         1.0 x",
        "set-up over                     701 s   1.76 x         1.5 x",
        "the run over                    1000 s  2.51 x",
        "building Kubernetes itself: 398 s",
    ]


def test_the_table_says_what_was_not_seen() -> None:
    said = table(Marks(None, None, None, None, None), ended())
    assert said[1] == "Python environment ready        not seen"
    assert said[-1] == "building Kubernetes itself: was not built"


def test_the_exit_code_is_that_of_what_make_ran() -> None:
    assert ended(Line(1.0, "make: *** [Makefile:37: run] Error 5"), code=2).exit_code == 5
    assert ended(Line(1.0, "make: *** No rule to make target 'runn'.  Stop."), code=2).exit_code == 2
    assert ended(code=0).exit_code == 0


MAKEFILE = """\
run:
\t@mkdir -p .venv/bin results && cp kube-ordeal .venv/bin/
\t@echo "===== test session starts ====="
\t@echo "10:05:00 set-up: 10:05:00   built kubernetes 1.34.4 in 2 s"
\t@mkdir -p "$$XDG_CACHE_HOME" && mkdir -p "$$GOMODCACHE/m" && touch "$$GOMODCACHE/m/f" && chmod 500 "$$GOMODCACHE/m"
\t@echo "caches: $$XDG_CACHE_HOME $$XDG_STATE_HOME"
\t@cp -a {runs}/. results/
\t@echo "10:07:00 === mass-termination: held, passed: none of 6 pods was deleted"
\t@exit {code}
"""


def checkout(folder: Path, makefile: str) -> Path:
    """A repository with that Makefile, and a `kube-ordeal` that writes down how it was called."""
    folder.mkdir()
    (folder / "Makefile").write_text(makefile)
    command = folder / "kube-ordeal"
    command.write_text(f'#!/bin/sh\necho "$@" "$XDG_STATE_HOME" >>{folder}/called\n')
    command.chmod(0o755)
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@localhost"]
    for argv in (["init", "--quiet"], ["add", "Makefile", "kube-ordeal"], ["commit", "--quiet", "-m", "one"]):
        subprocess.run([*git, *argv], cwd=folder, check=True)
    return folder


@pytest.mark.parametrize("code", [0, 1])
def test_a_clone_is_measured_and_nothing_stays_but_what_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    monkeypatch.setattr(first, "_users_of_data", list)  # an engine that runs here is no part of this
    monkeypatch.setenv("MAKEFLAGS", " -- ARGS=--yes")  # as below `make bench-first ARGS=--yes`
    proven(tmp_path / "runs")
    made = checkout(tmp_path / "checkout", MAKEFILE.format(runs=tmp_path / "runs", code=code))
    said: list[str] = []
    assert measure(made, "run", fresh_modules=True, tell=said.append) == code
    assert list(temporary.iterdir()) == []
    assert any(line.startswith("first verdict ") and line.endswith("1.0 x") for line in said)
    assert any("test_x[kind-hardened]" in line and "held" in line for line in said)
    assert said[-1].startswith(f"exit code {code}; output and results: {made}/results/first/")
    (kept,) = (made / "results" / "first").iterdir()
    assert {p.name for p in kept.iterdir()} == {"output.log", "results"}
    (caches,) = [line.split()[1:] for line in said if line.startswith("caches: ")]
    assert all(each.startswith(str(temporary)) for each in caches)
    assert (made / "called").read_text() == f"teardown --yes {caches[1]}\nteardown --cache --yes {caches[1]}\n"


def test_the_data_of_an_engine_that_somebody_else_started_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    monkeypatch.setattr(first, "_users_of_data", lambda: [4242])
    proven(tmp_path / "runs")
    made = checkout(tmp_path / "checkout", MAKEFILE.format(runs=tmp_path / "runs", code=0))
    said: list[str] = []
    assert measure(made, "run", fresh_modules=True, tell=said.append) == 0
    (folder,) = temporary.iterdir()  # its state is needed yet
    assert any(line.startswith(f"{folder} stays: the container engine of process 4242 was") for line in said)
    assert "--cache" not in (made / "called").read_text()


def test_what_is_no_repository_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(OrdealError, match="can't be cloned"):
        measure(tmp_path, "run", fresh_modules=False, tell=lambda _: None)


def test_verdicts_of_a_run(tmp_path: Path) -> None:
    proven(tmp_path)
    first, second = verdicts(load(tmp_path).outcomes)
    assert first.split()[:3] == ["test_x[kind-hardened]", "held", "passed"]
    assert second.split()[:3] == ["test_x[kind-control:default-tolerations]", "violated", "passed"]


INTERRUPTED = """\
import signal, sys
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])  # one that comes before it is waited for is not lost
print("here", flush=True)
signal.sigwait([signal.SIGINT])
print("cleaned up", flush=True)
sys.exit(130)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_child_that_is_interrupted_cleans_up_and_its_last_lines_are_kept(tmp_path: Path, number: int) -> None:
    def tell(line: str) -> None:
        if line == "here":
            os.kill(os.getpid(), number)

    before = signal.getsignal(number)
    done = run_to_end([sys.executable, "-c", INTERRUPTED], cwd=tmp_path, log=tmp_path / "log", tell=tell)
    assert done.interrupted
    assert [line.text for line in done.lines] == ["here", "cleaned up"]
    assert (tmp_path / "log").read_text() == "here\ncleaned up\n"
    assert signal.getsignal(number) == before


def test_nobody_is_asked_where_nobody_can_answer() -> None:
    """Without --yes and a terminal it must not touch the machine."""
    argv = [sys.executable, "-m", "tests.bench.first"]
    done = subprocess.run(argv, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "give --yes" in done.stdout
