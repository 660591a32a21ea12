"""The action and the workflows: they fit GitHub's schemas, hold together, and the steps say what the run found."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from check_jsonschema import main as check_jsonschema
from click.testing import CliRunner as ClickRunner
from typer.testing import CliRunner

from chaos.basics.waiting import eventually
from chaos.cli import gate
from chaos.cli.app import app
from chaos.judge.base import Verdict
from tests.report.made import broken, outcome, proven, results

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / ".github/actions/kube-ordeal"
EXAMPLE = ROOT / ".github/workflows/upgrade-gate.yml"
DOCUMENT = (ROOT / "docs/github.md").read_text()
USED = re.compile(r"\$\{\{.*?\b(inputs|steps)\.([\w-]+)")

# Stands for the program and for pytest: it takes down how it was called, and does and says what the test has planted.
STAND_IN = f"""#!{sys.executable} -S
import os, sys, time
from pathlib import Path

name, *given = [Path(sys.argv[0]).name, *sys.argv[1:]]
here = Path(__file__).parent
with (here / "calls").open("a") as calls:
    calls.write("\\t".join([name, *given]) + "\\n")
print("words of", name, flush=True)
if name == "pytest":
    (Path(given[given.index("--ordeal-results") + 1]) / "latest").mkdir()
    if os.environ.get("WAITS"):
        try:
            (here / "waiting").touch()
            time.sleep(60)
        except KeyboardInterrupt:
            time.sleep(0.2)  # a second signal would end this
            (here / "cleaned").touch()
            sys.exit(2)
elif "--markdown" in given:
    Path(given[given.index("--markdown") + 1]).write_text("## kube-ordeal: " + os.environ["ANSWERS"] + "\\n")
sys.exit(int(os.environ.get((given[0] if name == "kube-ordeal" else name).upper() + "_ENDS", "0")))
"""


class Job:
    """A job that uses the action, on a machine of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "bin").mkdir()
        for name in ("kube-ordeal", "pytest"):
            (folder / "bin" / name).write_text(STAND_IN)
            (folder / "bin" / name).chmod(0o755)
        (folder / "bin" / "sudo").write_text('#!/bin/sh\nshift\nexec "$@"\n')
        (folder / "bin" / "sudo").chmod(0o755)

    def start(self, **given: str) -> "subprocess.Popen[str]":
        """The step `run`, with the action's defaults and what is given."""
        inputs = {name.upper(): each.get("default", "") for name, each in _action()["inputs"].items()}
        env = {
            **os.environ,
            "HOME": str(self.folder),
            "PYTHONPATH": str(ROOT),
            "KUBE_ORDEAL_BIN": str(self.folder / "bin"),
            "RUNNER_TEMP": str(self.folder),
            "GITHUB_OUTPUT": str(self.folder / "output"),
            "GITHUB_STEP_SUMMARY": str(self.folder / "summary.md"),
            **{name.upper(): value for name, value in {**inputs, **given}.items()},
        }
        return subprocess.Popen([FOLDER / "run.sh"], env=env, cwd=self.folder, text=True, stdout=subprocess.PIPE)

    def run(self, **given: str) -> int:
        """The same until its end; returns the exit code."""
        with self.start(**given) as running:
            running.communicate(timeout=60)
        return running.returncode

    @property
    def outputs(self) -> dict[str, str]:
        return dict(line.split("=", 1) for line in (self.folder / "output").read_text().splitlines())

    @property
    def summary(self) -> str:
        return (self.folder / "summary.md").read_text()

    @property
    def calls(self) -> list[list[str]]:
        return [line.split("\t") for line in (self.folder / "bin" / "calls").read_text().splitlines()]


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return Job(tmp_path)


def _action() -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((FOLDER / "action.yml").read_text())
    return content


def _fits(schema: str, *paths: Path) -> bool:
    done = ClickRunner().invoke(check_jsonschema, ["--builtin-schema", f"vendor.github-{schema}", *map(str, paths)])
    assert done.exit_code in {0, 1}, done.output
    return done.exit_code == 0


def test_the_action_and_the_workflows_fit_githubs_schemas(tmp_path: Path) -> None:
    assert _fits("actions", FOLDER / "action.yml")
    assert _fits("workflows", *(ROOT / ".github/workflows").glob("*.yml"))
    (tmp_path / "action.yml").write_text((FOLDER / "action.yml").read_text().replace("      shell: bash\n", ""))
    assert not _fits("actions", tmp_path / "action.yml")


def test_the_action_uses_inputs_and_steps_that_there_are_and_none_of_them_as_a_script() -> None:
    action = _action()
    there = {("inputs", name) for name in action["inputs"]}
    there |= {("steps", step["id"]) for step in action["runs"]["steps"] if "id" in step}
    text = (FOLDER / "action.yml").read_text()
    assert set(USED.findall(text)) == there
    assert all("${{" not in step.get("run", "") for step in action["runs"]["steps"])
    script = (FOLDER / "run.sh").read_text()
    run = next(step for step in action["runs"]["steps"] if step.get("id") == "run")
    assert all(re.search(rf"\$\{{?{name}\b", script) for name in run["env"])
    assert [name.lower() for name in run["env"]] == list(action["inputs"])
    assert all(f"{name}=" in script for name in action["outputs"])
    assert all(os.access(path, os.X_OK) for path in FOLDER.glob("*.sh"))


def as_root(folder: Path, *argv: str, sudo: str) -> "subprocess.CompletedProcess[str]":
    """as-root.sh by somebody who is not root, on a machine with that sudo."""
    for name, script in (("sudo", sudo), ("id", "echo 1000")):
        (folder / name).write_text(f"#!/bin/bash\n{script}\n")
        (folder / name).chmod(0o755)
    env = {
        "PATH": f"{folder}:{os.environ['PATH']}",
        "HOME": str(folder),
        "RUNNER_TEMP": str(folder),
        "HTTPS_PROXY": "http://192.0.2.1:3128",
        "AWS_PROFILE": "two\nlines and 'quotes'",
        "BASH_FUNC_say%%": "() { echo; }",
    }
    command = [str(FOLDER / "as-root.sh"), *argv]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=60)


def test_root_has_the_environment_that_the_job_has_set(tmp_path: Path) -> None:
    drops = f'shift; echo "$*" >>{tmp_path}/words; exec env -i PATH=/usr/bin:/bin "$@"'
    program = "import os, json; print(json.dumps(dict(os.environ)))"
    done = as_root(tmp_path, sys.executable, "-c", program, sudo=drops)
    assert done.returncode == 0, done.stderr
    has = json.loads(done.stdout)
    assert has["HTTPS_PROXY"] == "http://192.0.2.1:3128"
    assert has["AWS_PROFILE"] == "two\nlines and 'quotes'"
    assert has["HOME"] == str(tmp_path)
    assert has["PATH"].startswith(str(tmp_path))
    assert "192.0.2.1" not in (tmp_path / "words").read_text()  # what all of the machine can read
    assert list(tmp_path.glob("kube-ordeal-env-*")) == []


def test_what_bash_keeps_to_itself_does_not_end_it(tmp_path: Path) -> None:
    taken = ("POSIXLY_CORRECT=1", "UID=5", "EUID=5", "PPID=5", "BASHOPTS=x", "SHELLOPTS=x", "_AFTER=there")
    (tmp_path / "env").write_text("#!/bin/bash\nprintf '%s\\0' " + " ".join((f"PATH={os.environ['PATH']}", *taken)))
    (tmp_path / "env").chmod(0o755)
    sudo = 'shift; exec /usr/bin/env -i "$@"'
    done = as_root(tmp_path, "sh", "-c", f'echo "$_AFTER"; ls -d {tmp_path}/kube-ordeal-env-*', sudo=sudo)
    assert done.stdout == "there\n", done.stderr


def test_its_exit_code_is_the_commands_and_without_a_password_it_is_a_sentence(tmp_path: Path) -> None:
    assert as_root(tmp_path, "sh", "-c", "exit 7", sudo='shift; exec "$@"').returncode == 7
    refused = as_root(tmp_path, "true", sudo="exit 1")
    assert refused.returncode == 1
    assert "sudo asks for a password here" in refused.stderr
    assert list(tmp_path.glob("kube-ordeal-env-*")) == []


def test_what_is_kept_between_jobs_goes_with_what_it_was_built_from(tmp_path: Path) -> None:
    (step,) = [s for s in _action()["runs"]["steps"] if s.get("id") == "sources"]
    env = {**os.environ, "GITHUB_ACTION_PATH": str(FOLDER), "GITHUB_OUTPUT": str(tmp_path / "output")}
    for asked in ("1.34.4 kind", "1.36.3 kind"):
        argv = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]]
        subprocess.run(argv, env={**env, "ASKED": asked}, check=True)
    digests = re.findall(r"(digest|asked)=([0-9a-f]{16})\n", (tmp_path / "output").read_text())
    assert [name for name, _ in digests] == ["digest", "asked"] * 2
    assert digests[0] == digests[2]
    assert digests[1] != digests[3]
    (kept,) = [s["with"] for s in _action()["runs"]["steps"] if s.get("uses", "").startswith("actions/cache@")]
    assert kept["path"] == "~/.cache/kube-ordeal"
    assert kept["key"].startswith(kept["restore-keys"])


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({}, True),
        ({"cluster": "existing"}, False),
        ({"cluster": "existing", "evidence": "true"}, True),
        ({"evidence": "false"}, False),
    ],
)
def test_evidence_of_somebodys_cluster_is_kept_only_where_that_is_asked_for(
    job: Job, given: dict[str, str], kept: bool
) -> None:
    job.run(answers="safe", **given)
    assert (job.outputs["evidence"] == "true") == kept
    assert ("histories and evidence are in the artifact" in job.summary) == kept
    (upload,) = [step for step in _action()["runs"]["steps"] if "upload-artifact" in step.get("uses", "")]
    unless = "${{ steps.run.outputs.evidence != 'true' && format"
    assert upload["with"]["path"].splitlines()[-3:] == [
        f"{unless}('!{{0}}/**/{name}', steps.run.outputs.results) || '' }}}}"
        for name in ("evidence/**", "conformance/**/*.log", "report.html")
    ]


def test_the_page_shows_the_example_as_it_is_and_every_input_and_output() -> None:
    action = _action()
    example = EXAMPLE.read_text().partition("\n")[2].strip()
    shown = example.replace("./.github/actions/kube-ordeal", "OWNER/kube-ordeal/.github/actions/kube-ordeal@REF")
    assert f"```yaml\n{shown}\n```" in DOCUMENT
    for name, each in action["inputs"].items():
        default = f"`{each['default']}`" if each["default"] else ""
        assert f"| `{name}` | {default} | {each['description']} |" in DOCUMENT
    assert all(f"| `{name}` | {each['description']} |" in DOCUMENT for name, each in action["outputs"].items())
    with_ = yaml.safe_load(example)["jobs"]["gate"]["steps"][1]["with"]
    assert set(with_) <= set(action["inputs"])


@pytest.mark.parametrize(
    ("pytest_ends", "report_ends", "answers", "code"),
    [("0", "0", "safe", 0), ("1", "1", "not safe", 1), ("1", "2", "unknown", 2), ("3", "0", "safe", 2)],
)
def test_one_version_ends_with_its_answer(
    job: Job, pytest_ends: str, report_ends: str, answers: str, code: int
) -> None:
    given = {"pytest_ends": pytest_ends, "report_ends": report_ends, "answers": answers}
    assert job.run(to="1.36.3", select="mass or pleg", arguments="--no-header  -x", **given) == code
    assert job.outputs["exit-code"] == str(code)
    assert job.outputs["answer"] == answers
    assert job.summary.startswith(f"## kube-ordeal: {answers}\n")
    assert job.summary.endswith("are in the artifact kube-ordeal.\n")
    folder = job.outputs["results"]
    assert Path(folder, "log.txt").read_text().splitlines() == [f"words of {c[0]}" for c in job.calls]
    setup, replays, report = job.calls
    assert setup == ["kube-ordeal", "setup", "--yes", "--kubernetes", "1.36.3", "--for", "kind"]
    assert replays[:6] == ["pytest", f"{ROOT}/suites", "--ordeal-results", folder, "--ordeal-kubernetes", "1.36.3"]
    assert replays[6:] == [
        "-k",
        "mass or pleg",
        "--ordeal-cluster",
        "kind",
        "--ordeal-profile",
        "smoke",
        "-n",
        "auto",
        "--no-header",
        "-x",
    ]
    assert report[:2] == ["kube-ordeal", "report"]


@pytest.mark.parametrize(
    ("verdict", "code", "answer"),
    [(Verdict.HELD, 0, "safe"), (Verdict.VIOLATED, 1, "not safe"), (Verdict.UNKNOWN, 2, "unknown")],
)
def test_its_call_of_report_answers_so(job: Job, verdict: Verdict, code: int, answer: str) -> None:
    assert job.run(cluster="existing", answers="safe") == 0
    folder = Path(job.outputs["results"])
    (folder / "latest").rmdir()
    made = results(folder)
    found = [broken()] if verdict is Verdict.VIOLATED else []
    made.add(outcome(*found, verdict=verdict, why="as it was planted <script>"))
    made.add(outcome(broken(), control="default-tolerations"))
    made.end()
    assert CliRunner().invoke(app, job.calls[-1][1:]).exit_code == code
    summary = (folder / "summary.md").read_text()
    assert summary.startswith(f"## kube-ordeal: {answer}\n")
    assert "as it was planted &lt;script&gt;" in summary


@pytest.mark.parametrize(("ends", "answers"), [("0", "no worse"), ("1", "regressed"), ("2", "can't tell")])
def test_two_versions_end_with_the_gates_answer(job: Job, ends: str, answers: str) -> None:
    given = {"from": "1.34.4", "to": "1.36.3", "repeat": "3", "allow": "may be worse.yaml", "artifact": "gate-1"}
    assert job.run(**given, gate_ends=ends, answers=answers) == int(ends)
    assert job.outputs["answer"] == answers
    assert job.summary.startswith(f"## kube-ordeal: {answers}\n")
    assert job.summary.endswith("are in the artifact gate-1.\n")
    setup, gate = job.calls
    assert setup[2:] == ["--yes", "--kubernetes", "1.34.4", "--kubernetes", "1.36.3", "--for", "kind"]
    folder = job.outputs["results"]
    assert gate[1:] == [
        *("gate", "--from", "1.34.4", "--to", "1.36.3", "--repeat", "3", "--results", folder),
        *("--markdown", f"{folder}/summary.md", "--allow", "may be worse.yaml"),
        *("--", "--ordeal-cluster", "kind", "--ordeal-profile", "smoke"),
    ]


def test_its_call_of_the_gate_is_one(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    assert job.run(**{"from": "1.34.4", "to": "1.36.3"}, answers="no worse") == 0
    folder = Path(job.outputs["results"])
    proven(folder / "from")
    made = results(folder / "to")
    made.add(outcome(broken(), verdict=Verdict.VIOLATED, passed=False))
    made.add(outcome(broken(), control="default-tolerations"))
    made.end()
    asked: dict[str, Any] = {}

    def ran(base: gate.Version, candidate: gate.Version, **options: object) -> gate.Ran:
        asked.update(options, versions=(base.kubernetes, candidate.kubernetes))
        return gate.Ran(folder / "from", folder / "to")

    monkeypatch.setattr(gate, "check_ready", lambda *_: None)
    monkeypatch.setattr(gate, "run", ran)
    done = CliRunner().invoke(app, job.calls[-1][1:])
    assert done.exit_code == 1, done.output
    assert (folder / "summary.md").read_text().startswith("## kube-ordeal: regressed\n")
    assert asked["versions"] == ("1.34.4", "1.36.3")
    assert asked["arguments"] == ["--ordeal-cluster", "kind", "--ordeal-profile", "smoke"]


def test_what_came_to_nothing_is_2_and_shows_the_log(job: Job) -> None:
    assert job.run(setup_ends="2") == 2
    assert job.summary.startswith("## kube-ordeal: nothing to judge\n")
    assert "\n    words of kube-ordeal\n" in job.summary
    assert "answer" not in job.outputs


def test_a_base_without_a_candidate_is_told_before_set_up(job: Job) -> None:
    assert job.run(**{"from": "1.34.4"}) == 2
    assert "say which version is to be as good" in job.summary
    assert not (job.folder / "bin" / "calls").exists()


def test_a_job_that_is_cancelled_hands_the_signal_on_once_and_waits(job: Job) -> None:
    with job.start(cluster="existing", waits="1", answers="unknown") as running:
        eventually((job.folder / "bin" / "waiting").exists, within_s=30, what="the suites to run", every_s=0.05)
        running.send_signal(signal.SIGINT)
        running.send_signal(signal.SIGTERM)
        running.communicate(timeout=60)
    assert running.returncode == 2
    assert (job.folder / "bin" / "cleaned").exists()
    assert [call[0] for call in job.calls] == ["pytest", "kube-ordeal"]  # an existing cluster needs no set-up
    assert job.summary.startswith("## kube-ordeal: unknown\n")


def test_actions_of_others_are_named_by_commit() -> None:
    """A tag is moved by who can write to a repository; the version is for people."""
    files = (ROOT / ".github").rglob("*.y*ml")
    used = [line.strip() for path in files for line in path.read_text().splitlines() if "uses:" in line]
    others = [line for line in used if "uses: ./" not in line]
    assert len(others) >= 20
    assert [line for line in others if not re.search(r"uses: [\w/-]+@[0-9a-f]{40}  # v\d+\.\d+\.\d+$", line)] == []
