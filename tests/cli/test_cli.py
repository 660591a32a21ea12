"""The command as a user meets it: with its own cache and state, and no terminal."""

import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from typer.testing import CliRunner

from chaos.cli.app import app
from chaos.clusters.base import ClusterRef
from chaos.judge.base import Verdict
from chaos.judge.catalogue import find, incidents
from chaos.judge.conformance import FAILED, PASSED
from chaos.record.journal import CLUSTER, WORKLOAD, Journal
from chaos.results.specs import ALONE, SpecResult
from chaos.run.suites import by_incident
from chaos.session import running
from tests.fake_apiserver import FakeApiServer
from tests.report.made import outcome, results

COMMAND = [sys.executable, "-m", "chaos.cli.app"]
ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Ended:
    """How the command ended: exit code, standard output, standard error."""

    code: int
    out: str
    err: str


class Home:
    """A user's home of its own, and the command run there: in this process, which is fast, or in one of its own."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.own = {"XDG_CACHE_HOME": str(path / "cache"), "XDG_STATE_HOME": str(path / "state")}
        self.env = {**os.environ, **self.own, "PYTHONPATH": str(ROOT)}

    def run(self, *arguments: str) -> Ended:
        done = CliRunner().invoke(app, list(arguments), env=self.own, prog_name="kube-ordeal")
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return Ended(done.exit_code, done.stdout, done.stderr)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.chdir(tmp_path)
    return Home(tmp_path)


def refused(done: Ended, *parts: str) -> None:
    """It ended with 2 and a sentence that says why."""
    assert done.code == 2, done.out + done.err
    said = " ".join(done.err.replace("│", " ").split())
    for part in parts:
        assert part in said


def test_list_as_json_holds_the_catalogue(home: Home) -> None:
    done = home.run("list", "--json")
    assert done.code == 0, done.err
    listed = json.loads(done.out)
    assert [each["id"] for each in listed] == [each.id for each in incidents()]
    suites = by_incident()
    for each in listed:
        assert {"id", "claim", "level", "source", "abilities", "clusters", "controls"} <= each.keys()
        used = {need.__name__ for suite in suites[find(each["id"])] for need in suite.replay.needs}
        assert each["abilities"] == sorted(used), each["id"]  # none where the API is enough
        assert each["clusters"], each["id"]


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_a_narrow_terminal_of_any_encoding_is_written_to(home: Home, encoding: str) -> None:
    env = {**home.env, "COLUMNS": "40", "NO_COLOR": "1", "LC_ALL": "C", "PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"}
    results(home.path / "results").add(outcome(why="as it was: → ö"))
    for argv in (["list"], ["report"]):
        done = subprocess.run([*COMMAND, *argv], env=env, capture_output=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        assert not done.stderr
        assert done.stdout.decode(encoding)


def test_list_survives_a_reader_that_stops_reading(home: Home) -> None:
    with subprocess.Popen(
        [*COMMAND, "list"], env=home.env, cwd=home.path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0
    ) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        child.stdout.close()
        said = child.stderr.read().decode()
    assert "Traceback" not in said
    assert "BrokenPipe" not in said


def test_doctor_as_json_says_what_is_missing_in_an_empty_cache(home: Home) -> None:
    done = home.run("doctor", "--json", "--for", "simulated")
    said = json.loads(done.out)
    assert done.code == 1
    assert said["ready"] is False
    by_title = {check["title"]: check for check in said["checks"]}
    assert by_title["etcd"]["status"] == "missing"
    assert "kube-ordeal setup" in by_title["etcd"]["mend"]
    assert by_title["kernel"]["found"] == os.uname().release
    assert "container engine" not in by_title


def test_setup_without_a_terminal_needs_yes(home: Home) -> None:
    done = home.run("setup", "--for", "simulated")
    refused(done, "no terminal to ask at", "--yes")
    assert "build etcd" in done.out
    assert not any((home.path / "cache").rglob("etcd*"))


@pytest.mark.parametrize(("answer", "code", "says"), [(b"n\n", 2, b"nothing was changed"), (None, 130, b"interrupted")])
def test_at_a_terminal_it_asks_and_takes_no_or_ctrl_c_for_an_answer(
    home: Home, answer: bytes | None, code: int, says: bytes
) -> None:
    ours, theirs = pty.openpty()
    command = [*COMMAND, "setup", "--for", "simulated"]
    with subprocess.Popen(
        command, env=home.env, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
    ) as child:
        os.close(theirs)
        said, answered, interrupted_at = b"", False, 0.0
        try:
            for _ in range(600):
                if select.select([ours], [], [], 0.1)[0]:
                    said += os.read(ours, 4096)
                if not said.rstrip().endswith(b"[y/N]:"):
                    continue
                if answer is None:
                    # Again, as a person would: one that falls between prompt and read is lost. Not while it ends.
                    if time.monotonic() - interrupted_at > 5:
                        child.send_signal(signal.SIGINT)
                        interrupted_at = time.monotonic()
                elif not answered:
                    os.write(ours, answer)
                answered = True
        except OSError:  # the other end of the terminal is closed: it has ended
            pass
        os.close(ours)
    assert answered, said.decode()
    assert child.returncode == code, said.decode()
    assert says in said
    assert not list((home.path / "cache").rglob("etcd"))


def test_old_runs_are_pruned(home: Home) -> None:
    for day in (1, 2, 3):
        made = results(home.path / "results", f"2026010{day}-000000-abcd")
        made.add(outcome())
        made.end()
    said = home.run("results", "prune", "--keep", "2", "--dry-run")
    assert (said.code, len(list((home.path / "results").glob("2*")))) == (0, 3)
    assert said.out.startswith("would remove results/20260101-000000-abcd: ")
    done = home.run("results", "prune", "--keep", "2")
    assert done.code == 0
    assert done.out.startswith("removed results/20260101-000000-abcd: ")
    assert done.out.rstrip().endswith("MB freed; 2 runs stay")
    assert len(list((home.path / "results").glob("2*"))) == 2
    assert home.run("results", "prune", "--keep", "0").code == 2


def test_undo_says_when_there_is_nothing(home: Home) -> None:
    done = home.run("undo")
    assert (done.code, done.out) == (0, "nothing to undo\n")


def test_undo_names_the_runs_that_go_on(home: Home) -> None:
    """And an undo that meets another one: that has the journal for as long."""
    with Journal(home.path / "state" / "kube-ordeal" / "journals" / "alive.jsonl"):
        done = home.run("undo")
    told = "left alone: what alive has done, which goes on, or which another process undoes\nnothing to undo\n"
    assert (done.code, done.out) == (0, told)


def test_undo_fails_where_something_stays_pending(home: Home) -> None:
    left_behind(home, "no-such-fault")
    done = home.run("undo")
    assert done.code == 1, done.out + done.err
    assert "still pending: 1" in done.out
    assert "no-such-fault" in done.out
    assert home.run("undo").code == 1  # it is not forgotten


def test_undo_takes_back_a_cluster_that_a_killed_run_left(home: Home) -> None:
    left_behind(home, CLUSTER)
    done = home.run("undo")
    assert done.code == 0, done.out + done.err
    assert "undone: 1, still pending: 0" in done.out
    assert home.run("undo").out == "nothing to undo\n"


def test_undo_says_what_the_kubeconfig_may_no_longer_do(home: Home) -> None:
    with FakeApiServer(home.path) as api:
        left_behind(home, WORKLOAD, api.kubeconfig)
        api.forbidden = {("list", "nodes")}
        done = home.run("undo")
    assert done.code == 1, done.out + done.err
    assert 'refuses: nodes is forbidden: User "few" cannot list resource "nodes"' in done.out
    assert "Traceback" not in done.out + done.err


def left_behind(home: Home, kind: str, kubeconfig: Path | None = None) -> None:
    """What a killed run leaves: a journal with an entry that nothing has undone, on a cluster that is gone or not."""
    journals = home.path / "state" / "kube-ordeal" / "journals"
    with Journal(journals / "killed.jsonl") as journal:
        config = kubeconfig or home.path / "kubeconfig"
        ref = ClusterRef("simulated", "left", "") if kind == CLUSTER else ClusterRef("existing", "theirs", str(config))
        journal.planned(kind, ref, {"namespace": "ordeal-web"} if kind == WORKLOAD else {})


def test_a_damaged_journal_is_named(home: Home) -> None:
    journals = home.path / "state" / "kube-ordeal" / "journals"
    journals.mkdir(parents=True)
    (journals / "broken.jsonl").write_text("{not json}\n{}\n")
    done = home.run("undo")
    assert done.code == 1, done.out + done.err
    assert "broken.jsonl is damaged at line 1" in done.out
    assert "Traceback" not in done.out + done.err


def test_report_shows_the_verdicts_of_a_run(home: Home) -> None:
    made = results(home.path / "results")
    made.add(outcome())
    lost = "the fault did not land [/red] on [node] \x1b[31m\x07"
    made.add(outcome(control="default-tolerations", verdict=Verdict.UNKNOWN, passed=False, why=lost))
    run = made.directory
    for arguments in ([], ["20260101-000000-abcd"], [str(run)], [str(run / "results.json")]):
        done = home.run("report", *arguments)
        assert done.code == 0, done.err
        assert "held" in done.out
        assert "control:" in done.out
        assert "default-tolerations" in done.out
        assert r"[/red] on [node] \x1b[31m\x07" in " ".join(done.out.split())
        assert "\x1b" not in done.out
        assert "1 of 2 passed" in done.out
    refused(home.run("report", "other"), "no results at results/other", "20260101-000000-abcd")


def test_report_counts_the_specs_of_a_run_of_conformance(home: Home) -> None:
    made = results(home.path / "results")
    made.add_specs(
        [SpecResult("t", ALONE, each, each, "apps", state, 1.0) for each, state in (("a", PASSED), ("b", FAILED))]
    )
    said = home.run("report").out
    assert "conformance specs: 1 passed, 1 failed" in said
    assert "0 of 0" not in said
    assert "┏" not in said


def test_report_makes_a_page_of_a_run_that_was_killed_too(home: Home) -> None:
    made = results(home.path / "results")
    made.begin("test_x", "mass-termination", cluster="kind", profile="smoke")
    done = home.run("report", "--html")
    assert (done.code, done.out) == (0, "results/20260101-000000-abcd/report.html\n")
    assert "has no end" in (made.directory / "report.html").read_text()
    assert home.run("report", "--output", "page.html").out == "page.html\n"
    assert (home.path / "page.html").is_file()
    refused(home.run("report", "--output", "none/page.html"), "the page can't be written to none/page.html")
    said = home.run("report").out
    assert "The run has not ended" in said
    assert "unknown: Nobody can say that this is safe" in said


def test_report_gives_a_summary_and_ends_with_the_answer_where_it_is_asked_to(home: Home) -> None:
    results(home.path / "results").begin("test_x", "mass-termination", cluster="kind", profile="smoke")
    assert home.run("report").code == 0
    done = home.run("report", "--exit-code", "--markdown", "-")
    assert (done.code, done.out.splitlines()[0]) == (2, "## kube-ordeal: unknown")
    assert "┏" not in done.out
    done = home.run("report", "--html", "--markdown", "summary.md")
    assert (done.code, done.out) == (0, "results/20260101-000000-abcd/report.html\n")
    assert (home.path / "summary.md").read_text().startswith("## kube-ordeal: unknown\n")
    refused(home.run("report", "--markdown", "none/summary.md"), "none/summary.md", "No such file or directory")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("{", "no JSON"),
        ("[]", "not a kube-ordeal run's"),
        ('{"schema": 99, "run": "x"}', "schema 99"),
        ('{"schema": 3, "run": "x", "machine": {}, "incidents": [{}]}', "were they edited?"),
    ],
)
def test_report_refuses_what_is_no_result(home: Home, content: str, says: str) -> None:
    (home.path / "results.json").write_text(content)
    refused(home.run("report", "results.json"), says)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["bogus"], "No such command"),
        (["doctor", "--kubernetes", "newest"], "'newest' is not a version"),
        (["setup", "--for", "mars"], "mars"),
        (["setup", "--bogus"], "No such option"),
        (["image", "build", "--kubernetes", "1.x"], "'1.x' is not a version"),
        (["image", "build", "--component", "kubelet"], "NAME=PATH"),
        (["image", "build", "--component", "bogus=/bin/true"], "no component is named 'bogus'"),
        (["image", "build", "--component", "kubelet=/no/such/file"], "there is no file /no/such/file"),
        (["image", "build", "redis"], "names are for --workloads"),
        (["image", "build", "--workloads", "rediss"], "no workload image is named 'rediss'"),
        (["image", "remove"], "Missing argument"),
    ],
)
def test_wrong_input_ends_with_a_sentence(home: Home, arguments: list[str], says: str) -> None:
    refused(home.run(*arguments), says)


def test_a_home_that_cannot_be_written_is_named(home: Home) -> None:
    (home.path / "state").write_text("a file where the state folder should be")
    refused(home.run("undo"), str(home.path / "state"), "Not a directory")


def test_version(home: Home) -> None:
    assert home.run("version").out.startswith("kube-ordeal 0.")


def test_ctrl_c_in_a_step_leaves_nothing_half_made(home: Home) -> None:
    """The toolchain hangs, as a slow build would; the interrupt comes in the middle of it."""
    go = home.path / "bin" / "go"
    go.parent.mkdir()
    go.write_text(
        "#!/bin/sh\n"
        'case "$1 $2" in\n'
        '"env GOVERSION") echo go1.99.0 ;;\n'
        '"env GOPROXY") echo off ;;\n'
        '*) echo started >"$HANGS"; exec sleep 600 ;;\n'
        "esac\n"
    )
    go.chmod(0o755)
    hangs = home.path / "hangs"
    env = {**home.env, "PATH": f"{go.parent}:{os.environ['PATH']}", "HANGS": str(hangs)}
    with subprocess.Popen(
        [*COMMAND, "setup", "--yes", "--for", "simulated"],
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as child:
        deadline = time.monotonic() + 60
        while not hangs.exists() and child.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        os.killpg(child.pid, signal.SIGINT)
        said, _ = child.communicate(timeout=60)
    assert hangs.exists(), said
    assert child.returncode == 130, said
    assert "interrupted: " in said
    assert "Traceback" not in said
    left = [
        str(path) for path in (home.path / "cache").rglob("*") if path.is_file() and not path.name.endswith(".lock")
    ]
    assert left == []


def test_mutants_are_listed_with_the_pull_request_that_mended_each(home: Home) -> None:
    listed = {m["name"]: m for m in json.loads(home.run("mutant", "list", "--json").out)}
    assert listed["pleg-blocking-send"]["pull_request"] == 72709
    assert listed["pleg-blocking-send"]["twin"] in listed
    shown = home.run("mutant", "list").out
    assert all(name in shown for name in listed)


def test_a_mutant_that_there_is_not_is_refused_before_any_is_built(home: Home) -> None:
    refused(home.run("mutant", "build", "pleg-scaled", "no-such"), "there is no mutant 'no-such'", "pleg-scaled")
    assert not (home.path / "cache").exists() or not list((home.path / "cache").rglob("kubelet"))
    refused(home.run("mutant", "build", "pleg-scaled", "--kubernetes", "newest"), "not a version")


@pytest.mark.parametrize(
    ("given", "option"),
    [([], "--ordeal-plan"), (["--json"], "--ordeal-plan-json"), (["-q", "-k", "a b"], "--ordeal-plan")],
)
def test_plan_is_a_run_that_only_says_what_it_would_do(
    home: Home, monkeypatch: pytest.MonkeyPatch, given: list[str], option: str
) -> None:
    became: list[list[str]] = []
    monkeypatch.setattr(running, "run", became.append)
    done = home.run("plan", *given, "suites/preflight", "--ordeal-cluster", "kind")
    assert done.code == 0, done.err
    assert became == [
        [option, *(each for each in given if each != "--json"), "suites/preflight", "--ordeal-cluster", "kind"]
    ]
