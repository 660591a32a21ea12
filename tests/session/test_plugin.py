"""The pytest plugin without a cluster: what is collected, how a finding becomes a verdict, how wrong options end.

Suites are written here that put findings into the lab themselves; pytest runs them as it runs real ones.
"""

import json
import os
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from chaos.clusters.base import ClusterRef
from chaos.clusters.identity import Identity
from chaos.clusters.way import kubeconfig_files
from chaos.harm import load_all
from chaos.hosts.places import journals_dir
from chaos.record.journal import Journal
from chaos.run.claim import Claim
from chaos.run.suites import replays
from tests.clusters.ways import Kubeconfig
from tests.fake_apiserver import FakeApiServer

pytest_plugins = ["pytester"]
load_all()  # the inner runs share this process: what they import anew they would register twice
replays()

SUITE = """
from chaos.clusters.abilities import EtcdBehind, Heartbeats, NodePower
from chaos.errors import OrdealError
from chaos.run.incident import incident
from chaos.judge.base import Finding, Verdict
from chaos.run.stage import LacksAbilityError

def finding(verdict, reason=""):
    return Finding("nothing-terminated", verdict, "so it was seen", reason=reason)
"""
VERDICTS = """
@incident("mass-termination", on=("kind",))
def test_held(lab):
    lab.findings.append(finding(Verdict.HELD))

@incident("mass-termination", on=("kind",))
def test_violated(lab):
    lab.findings.append(finding(Verdict.VIOLATED, "taint-eviction"))

@incident("mass-termination", on=("kind",))
def test_unknown(lab):
    lab.findings.append(finding(Verdict.UNKNOWN))

@incident("mass-termination", on=("kind",))
def test_nothing_judged(lab):
    pass

@incident("mass-termination", on=("kind",))
def test_did_not_land(lab):
    lab.findings.append(finding(Verdict.HELD))
    raise OrdealError("the fault did not land")

@incident("mass-termination", on=("kind",))
def test_crashed(lab):
    lab.findings.append(finding(Verdict.HELD))
    raise ZeroDivisionError("in the suite")

@incident("mass-termination", on=("kind",))
def test_lacks(lab):
    raise LacksAbilityError("needs a third hand")

@incident("mass-termination", on=("kind",), controls=("default-tolerations",))
def test_right_reason(lab):
    lab.findings.append(finding(Verdict.VIOLATED, "taint-eviction") if lab.control else finding(Verdict.HELD))

@incident("mass-termination", on=("kind",), controls=("default-tolerations",))
def test_wrong_reason(lab):
    lab.findings.append(finding(Verdict.VIOLATED, "other") if lab.control else finding(Verdict.HELD))

@incident("mass-termination", on=("kind",), controls=("default-tolerations",))
def test_blind(lab):
    lab.findings.append(finding(Verdict.HELD))
"""
CONTROL = "kind-control:default-tolerations"


@pytest.fixture(autouse=True)
def own_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or writes the journals of this machine's runs."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("KUBECONFIG", raising=False)


def run(pytester: pytest.Pytester, *options: str) -> pytest.RunResult:
    """Run pytest in this process; without Hypothesis' plugin, which would be imported anew each time."""
    return pytester.runpytest_inprocess("-p", "no:hypothesispytest", *options)


def suite(pytester: pytest.Pytester, body: str) -> None:
    pytester.makepyfile(test_suite=SUITE + body)


def ids(pytester: pytest.Pytester, *options: str) -> list[str]:
    done = run(pytester, "--collect-only", "-q", *options)
    return [line.split("::")[1] for line in done.outlines if "::" in line]


def test_every_finding_becomes_the_verdict_it_should(pytester: pytest.Pytester) -> None:
    suite(pytester, VERDICTS)
    done = run(pytester, "-rA")
    done.assert_outcomes(passed=5, failed=7, skipped=1)
    results = json.loads((pytester.path / "results" / "latest" / "results.json").read_text())
    got = {
        entry["test"].split("::")[1]: (entry["variant"], entry["verdict"], entry["passed"])
        for entry in results["incidents"]
    }
    assert got == {
        "test_held[kind-hardened]": ("hardened", "held", True),
        "test_violated[kind-hardened]": ("hardened", "violated", False),
        "test_unknown[kind-hardened]": ("hardened", "unknown", False),
        "test_nothing_judged[kind-hardened]": ("hardened", "unknown", False),
        "test_did_not_land[kind-hardened]": ("hardened", "unknown", False),
        "test_crashed[kind-hardened]": ("hardened", "unknown", False),
        "test_right_reason[kind-hardened]": ("hardened", "held", True),
        f"test_right_reason[{CONTROL}]": ("control", "violated", True),
        "test_wrong_reason[kind-hardened]": ("hardened", "held", True),
        f"test_wrong_reason[{CONTROL}]": ("control", "violated", False),
        "test_blind[kind-hardened]": ("hardened", "held", True),
        f"test_blind[{CONTROL}]": ("control", "held", False),
    }
    said = done.stdout.str()
    assert "needs a third hand" in said
    assert "because of other, expected taint-eviction" in said
    assert "ZeroDivisionError: in the suite" in said
    assert "results: " in said
    assert "report:  " in said
    assert [(entry["test"].split("::")[1], entry["why"]) for entry in results["skipped"]] == [
        ("test_lacks[kind-hardened]", "needs a third hand")
    ]
    assert results["running"] == []
    assert results["ended"]
    page = (pytester.path / "results" / "latest" / "report.html").read_text()
    assert "Not safe" in page
    assert not list((pytester.path.parent / "state").rglob("*.jsonl"))


def test_no_lab_and_no_history_in_it_outlives_its_replay(pytester: pytest.Pytester) -> None:
    body = """
import gc, weakref

seen = []

@incident("mass-termination", on=("kind",))
def test_first(lab):
    lab.findings.append(finding(Verdict.HELD))
    seen.append(weakref.ref(lab))

@incident("mass-termination", on=("kind",))
def test_second(lab):
    gc.collect()
    lab.findings.append(finding(Verdict.HELD if seen[0]() is None else Verdict.VIOLATED))
"""
    suite(pytester, body)
    run(pytester).assert_outcomes(passed=2)


SIDE_BY_SIDE = """
import os, pathlib, time

def meet(mine, other):
    \"\"\"Only two processes at the same time get past this.\"\"\"
    pathlib.Path(mine).touch()
    end = time.monotonic() + 30
    while not pathlib.Path(other).exists():
        assert time.monotonic() < end, "nothing ran beside this"
        time.sleep(0.01)

@incident("mass-termination", on=("kind", "simulated"))
def test_both(lab):
    meet(lab.cluster_kind, "simulated" if lab.cluster_kind == "kind" else "kind")
    lab.findings.append(finding(Verdict.HELD))
    lab.table("of", [{f"held-on-{lab.cluster_kind}": 1}])

@incident("mass-termination", on=("kind",))
def test_broken(lab):
    lab.findings.append(finding(Verdict.VIOLATED, "taint-eviction"))
""" + "".join(
    f"""
@incident("mass-termination", on=("kind", "simulated"))
def test_{number}(lab):
    lab.findings.append(finding(Verdict.HELD))
    lab.fact("process", os.getpid())
"""
    for number in range(4)
)


@dataclass(frozen=True)
class SideBySide:
    """A run in two processes: what it wrote and said. `open`: files and folders of it that others may look into."""

    results: Path
    incidents: list[dict[str, Any]]
    out: str
    err: str
    journals: list[Path]
    open: list[Path]


@pytest.fixture(scope="module")
def side_by_side(tmp_path_factory: pytest.TempPathFactory) -> SideBySide:
    """The one run for all tests of it: its three processes each take longer to start than to run."""
    own, places = tmp_path_factory.mktemp("side-by-side"), tmp_path_factory.mktemp("places")
    (own / "test_suite.py").write_text(SUITE + SIDE_BY_SIDE)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-n", "2", "-p", "no:hypothesispytest", "-p", "no:cacheprovider"],
        cwd=own,
        env={**os.environ, "XDG_STATE_HOME": str(places / "state"), "XDG_CACHE_HOME": str(places / "cache")},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        umask=0o022,
    )
    assert "1 failed, 10 passed" in done.stdout, done.stdout + done.stderr
    (path,) = (own / "results").glob("2*/results.json")
    return SideBySide(
        path.relative_to(own),
        json.loads(path.read_text())["incidents"],
        done.stdout,
        done.stderr,
        list(places.rglob("*.jsonl")),
        [each for each in written(own / "results", *places.glob("*/kube-ordeal")) if each.stat().st_mode & 0o077],
    )


def written(*folders: Path) -> list[Path]:
    """The folders, and what is in them, however deep."""
    return [each for folder in folders for each in (folder, *folder.rglob("*"))]


def test_the_cheapest_cluster_comes_first_preflight_on_it_and_shape_after_shape(
    pytester: pytest.Pytester,
) -> None:
    marked = '@incident("mass-termination", on=("kind",){})\ndef test_{}(lab):\n    pass\n'
    body = marked.format(', shape="stateful"', "ab") + marked.format("", "cd") + marked.format(', shape="dense"', "ef")
    pytester.mkdir("b_suite").joinpath("test_b_suite.py").write_text(SUITE + body)
    body = SUITE + '@incident("mass-termination", on=("kind", "simulated"))\ndef test_it(lab):\n    pass\n'
    for folder in ("a_suite", "preflight"):
        pytester.mkdir(folder).joinpath(f"test_{folder}.py").write_text(body)
    done = run(pytester, "--collect-only", "-q")
    found = [line for line in done.outlines if "::" in line]
    assert [line.split("::")[0] + line[-20:] for line in found if "b_suite" not in line] == [
        f"{folder}/test_{folder}.py" + f"::test_it[{kind}-hardened]"[-20:]
        for kind in ("simulated", "kind")
        for folder in ("preflight", "a_suite")
    ]
    assert [line.split("::")[1][:7] for line in found if "b_suite" in line] == ["test_cd", "test_ef", "test_ab"]


def test_runs_side_by_side_share_the_results_and_no_cluster(side_by_side: SideBySide) -> None:
    met = {
        (i["cluster"], i["test"].split("::")[1], i["verdict"])
        for i in side_by_side.incidents
        if i["test"].split("::")[1].startswith(("test_both", "test_broken"))
    }
    assert met == {
        ("kind", "test_both[kind-hardened]", "held"),
        ("simulated", "test_both[simulated-hardened]", "held"),
        ("kind", "test_broken[kind-hardened]", "violated"),
    }
    assert "held-on-kind" in side_by_side.out
    assert "held-on-simulated" in side_by_side.out
    assert f"results: {side_by_side.results}" in side_by_side.out
    assert "[gw0] ===" in side_by_side.err
    assert not side_by_side.journals


def test_what_a_run_writes_is_its_owners_alone(side_by_side: SideBySide) -> None:
    assert side_by_side.open == []


def test_what_shares_a_cluster_stays_in_one_process(side_by_side: SideBySide) -> None:
    told = [i for i in side_by_side.incidents if "process" in i["facts"]]
    assert len(told) == 8
    processes = {kind: {i["facts"]["process"] for i in told if i["cluster"] == kind} for kind in ("kind", "simulated")}
    assert [len(of) for of in processes.values()] == [1, 1]
    assert processes["kind"] != processes["simulated"]


def test_a_process_that_dies_leaves_one_unknown_and_the_rest_is_replayed(pytester: pytest.Pytester) -> None:
    body = """
        @incident("mass-termination", on=("kind",))
        def test_{}(lab):
            {}
            lab.findings.append(finding(Verdict.HELD))
        """
    dies = "import os; os.abort()"
    suite(
        pytester,
        textwrap.dedent(body.format("before", "pass") + body.format("dies", dies) + body.format("after", "pass")),
    )
    done = pytester.run(sys.executable, "-m", "pytest", "-n", "1", "-p", "no:hypothesispytest", timeout=100)
    assert "1 failed, 2 passed" in done.stdout.str()
    results = json.loads((pytester.path / "results" / "latest" / "results.json").read_text())
    verdicts = {entry["test"].split("::")[1]: entry["verdict"] for entry in results["incidents"]}
    assert verdicts == {"test_before[kind-hardened]": "held", "test_after[kind-hardened]": "held"}
    assert [entry["test"].split("::")[1] for entry in results["running"]] == ["test_dies[kind-hardened]"]
    assert "Not safe" not in (page := (pytester.path / "results" / "latest" / "report.html").read_text())
    assert "has no end" in page


def test_results_that_cannot_be_written_end_a_run_side_by_side_too(pytester: pytest.Pytester) -> None:
    suite(pytester, VERDICTS)
    (pytester.path / "results").write_text("a file where the folder should be")
    done = run(pytester, "-n", "1")
    assert done.ret != 0
    assert "results can't be written" in done.stdout.str() + done.stderr.str()
    assert "Traceback" not in done.stdout.str()


TERMINATED = """
import os, signal, threading
from chaos.clusters.base import ClusterRef
from chaos.record.journal import WORKLOAD

@incident("mass-termination", on=("kind",))
def test_never_ends(lab):
    lab.means.journal.planned(WORKLOAD, ClusterRef("simulated", "gone", "none"), {"namespace": "ordeal-web"})
    os.kill(os.getppid(), signal.{signal})
    threading.Event().wait()
"""


@pytest.mark.parametrize("signal", ["SIGTERM", "SIGHUP"])
def test_processes_side_by_side_end_with_a_run_that_is_ended_and_leave_nothing(
    pytester: pytest.Pytester, tmp_path: Path, signal: str
) -> None:
    suite(pytester, TERMINATED.replace("{signal}", signal))
    done = pytester.runpytest_subprocess("-n", "1", "-p", "no:hypothesispytest", timeout=120)
    assert done.ret == pytest.ExitCode.INTERRUPTED
    assert "the run was interrupted" in (pytester.path / "results" / "latest" / "results.json").read_text()
    assert not list((tmp_path / "state").rglob("*.jsonl"))


ENDED = """
from chaos.run.deadline import TimedOutError
from chaos.harm.base import FaultError

@incident("mass-termination", on=("kind",))
def test_limit(lab):
    raise TimedOutError("timed out after 9 s") from FaultError("the fault x could not be undone")

@incident("mass-termination", on=("kind",))
def test_user_and_limit(lab):
    try:
        raise KeyboardInterrupt
    finally:
        raise TimedOutError("timed out after 9 s")

@incident("mass-termination", on=("kind",))
def test_never_begun(lab):
    pass
"""


def test_a_limit_does_not_hide_what_stays_nor_that_the_user_has_ended_the_run(pytester: pytest.Pytester) -> None:
    """As where the limit is reached while the undo, that Ctrl-C has to wait for, goes on."""
    suite(pytester, ENDED)
    assert run(pytester).ret == pytest.ExitCode.INTERRUPTED
    results = json.loads((pytester.path / "results" / "latest" / "results.json").read_text())
    assert {each["test"].split("::")[1]: each["why"] for each in results["incidents"]} == {
        "test_limit[kind-hardened]": "timed out after 9 s, in the phase start; the fault x could not be undone",
        "test_user_and_limit[kind-hardened]": "the run was interrupted",
    }


def test_what_a_finding_says_is_shown_as_it_is(pytester: pytest.Pytester) -> None:
    body = """
@incident("mass-termination", on=("kind",))
def test_brackets(lab):
    lab.findings.append(Finding("nothing-terminated", Verdict.VIOLATED, "pods [web] gone [/web]"))
    lab.table("a table", [{"pods": "[red] and [/blue]", "held": 1}])
"""
    suite(pytester, body)
    done = run(pytester)
    done.assert_outcomes(failed=1)
    table = done.stdout.str().partition("verdicts")[2]
    assert "[web]" in table
    assert "[/web]" in table
    assert "[red] and [/blue]" in table
    assert "results: " in table


PARAMETRIZED = """
@incident("mass-termination", on=("kind", "simulated"), controls=("default-tolerations",))
def test_both(lab):
    pass

@incident("mass-termination", on=("kind",), needs=(NodePower, EtcdBehind))
def test_kind_only(lab):
    pass

def test_ordinary():
    pass
"""


def test_each_kind_of_cluster_and_each_control_is_a_test_the_cheapest_first(pytester: pytest.Pytester) -> None:
    suite(pytester, PARAMETRIZED)
    assert ids(pytester) == [
        "test_ordinary",
        "test_both[simulated-hardened]",
        "test_both[simulated-control:default-tolerations]",
        "test_both[kind-hardened]",
        f"test_both[{CONTROL}]",
        "test_kind_only[kind-hardened]",
    ]


def test_options_choose_clusters_and_controls(pytester: pytest.Pytester) -> None:
    suite(pytester, PARAMETRIZED)
    assert ids(pytester, "--ordeal-no-controls", "--ordeal-cluster", "kind") == [
        "test_ordinary",
        "test_both[kind-hardened]",
        "test_kind_only[kind-hardened]",
    ]
    assert ids(pytester, "-k", "control", "--ordeal-cluster", "kind") == [f"test_both[{CONTROL}]"]
    assert not (pytester.path / "results").exists()  # collecting makes nothing


def test_an_incident_that_a_cluster_cannot_replay_is_skipped_with_the_reason(pytester: pytest.Pytester) -> None:
    suite(pytester, PARAMETRIZED)
    done = run(pytester, "-rs", "--ordeal-cluster", "simulated", "-k", "kind_only")
    done.assert_outcomes(skipped=1, deselected=3)
    done.stdout.fnmatch_lines(["*mass-termination needs NodePower*simulated clusters do not have*"])


COMMAND = "./power {off|on|state} {node}"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--ordeal-cluster", "mars"], "invalid choice: 'mars'"),
        (["--ordeal-profile", "tiny"], "invalid choice: 'tiny'"),
        (["--ordeal-kubernetes", "newest"], "'newest' is not a version"),
        (["--ordeal-cluster", "existing"], ".kube/config: not there); name one with --ordeal-kubeconfig"),
        (["--ordeal-cluster", "existing", "--ordeal-kubeconfig", ""], "--ordeal-kubeconfig was given nothing"),
        (["--ordeal-cluster", "existing", "--ordeal-context="], "--ordeal-context was given nothing"),
        (["--ordeal-cluster", "existing", "--kubeconfig="], "--kubeconfig was given nothing"),
        (["--ordeal-kubeconfig", "mine"], "without --ordeal-cluster existing none but our own are used"),
        (["--ordeal-context", "prod", "--ordeal-cluster", "kind"], "--ordeal-context names a cluster"),
        (["--ordeal-power", "virsh"], "--ordeal-power is for the nodes of an existing cluster"),
        (["--ordeal-power-command", COMMAND], "--ordeal-power-command is for the nodes of an existing cluster"),
        (["--ordeal-cluster", "existing", "--ordeal-power", ""], "--ordeal-power was given nothing"),
        (["--ordeal-cluster", "existing", "--ordeal-power-command", "./power"], "has to have {off|on|state}"),
        (["--ordeal-cluster", "existing", "--ordeal-power", "vsphere"], "there is no power driver 'vsphere'"),
        (["--ordeal-cluster", "existing", "--ordeal-power", "kind", "--ordeal-power-command", COMMAND], "are given"),
        (["--ordeal-stop-command", ""], "--ordeal-stop-command was given nothing"),
        (["--ordeal-stop-command", "true"], "without --ordeal-cluster existing none but our own are used"),
        (["--ordeal-conform", "afterwards"], "'afterwards' is none of before, during, after"),
        (["--ordeal-conform", "before"], "before alone is compared with nothing"),
        (["--ordeal-conform", "after"], "conformance build --kubernetes"),
        (["--ordeal-upgrade-command", "no-such-tool --now"], "no-such-tool is no program that can be run from here"),
        (["--ordeal-upgrade-within", "a day"], "--ordeal-upgrade-within a day: that is no time"),
        (["--ordeal-watch-service", "front"], "--ordeal-watch-service 'front' names no Service"),
        (["--ordeal-limits", "none.yaml"], "--ordeal-limits none.yaml can't be read: No such file"),
        (["--no-such-option"], "unrecognized arguments"),
    ],
)
def test_wrong_options_end_before_anything_is_made(pytester: pytest.Pytester, options: list[str], says: str) -> None:
    suite(pytester, VERDICTS)
    done = run(pytester, *options)
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    assert says in done.stderr.str()
    assert not (pytester.path / "results").exists()


def test_what_is_made_for_a_cluster_of_the_users_is_replayed_there_alone(pytester: pytest.Pytester) -> None:
    mark = '@incident("mass-termination", on=("existing",), controls=("default-tolerations",))'
    suite(pytester, f"{mark}\ndef test_own(lab): pass")
    for cluster in ("auto", "kind", "simulated"):
        done = run(pytester, "-rs", "--ordeal-cluster", cluster)
        done.assert_outcomes(skipped=1)
        done.stdout.fnmatch_lines(["*mass-termination is made for a cluster of your own: --ordeal-cluster existing"])
    with FakeApiServer(pytester.path) as api:
        chosen = ids(pytester, "--ordeal-cluster", "existing", "--ordeal-kubeconfig", str(api.kubeconfig))
    assert chosen == ["test_own[existing-hardened]", "test_own[existing-control:default-tolerations]"]


def test_specs_that_are_left_out_are_said_unless_they_were_not_wanted(pytester: pytest.Pytester) -> None:
    suite(pytester, VERDICTS)
    line = "upstream's specs were not run after 1 replays: the replay leaves no cluster to run them on"
    assert line in run(pytester, "-k", "test_held").outlines
    assert line not in run(pytester, "-k", "test_held", "--ordeal-conform", "none").outlines


def test_one_that_waited_too_long_is_skipped_and_named_as_left_out(pytester: pytest.Pytester) -> None:
    body = """
from chaos.run.stage import LeftOutError

@incident("mass-termination", on=("kind",))
def test_late(lab):
    raise LeftOutError("it would end 3 s after the budget")
"""
    suite(pytester, body)
    done = run(pytester)
    done.assert_outcomes(skipped=1)
    content = json.loads((pytester.path / "results" / "latest" / "results.json").read_text())
    assert [each["why"] for each in content["left_out"]] == ["it would end 3 s after the budget"]
    assert not content["incidents"]


def test_a_plan_is_shown_without_setting_the_machine_up(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chaos.session.hooks.prepare", lambda _: pytest.fail("it was set up"))
    suite(pytester, VERDICTS)
    done = pytester.runpytest_inprocess("--collect-only", "--ordeal-setup", "--ordeal-cluster", "simulated")
    assert done.ret == pytest.ExitCode.OK


def test_a_set_up_that_fails_ends_the_run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chaos.session.hooks.prepare", lambda _: 2)
    suite(pytester, VERDICTS)
    done = pytester.runpytest_inprocess("--ordeal-setup", "--ordeal-cluster", "simulated")
    assert done.ret == 2
    assert "set-up did not reach its end" in done.stdout.str() + done.stderr.str()
    assert not (pytester.path / "results").exists()


def test_results_that_cannot_be_written_end_the_run(pytester: pytest.Pytester) -> None:
    suite(pytester, VERDICTS)
    (pytester.path / "results").write_text("a file where the folder should be")
    done = run(pytester)
    assert done.ret == 2
    assert "results can't be written" in done.stdout.str() + done.stderr.str()
    assert "Traceback" not in done.stdout.str()


def test_an_unknown_incident_names_those_there_are(pytester: pytest.Pytester) -> None:
    suite(pytester, '@incident("fire", on=("kind",))\ndef test_fire(lab):\n    pass\n')
    done = run(pytester)
    assert done.ret == pytest.ExitCode.INTERRUPTED
    assert "there is no incident 'fire'; there are: aged-objects" in done.stdout.str()


def test_the_fixture_is_for_marked_functions_only(pytester: pytest.Pytester) -> None:
    suite(pytester, VERDICTS + "\ndef test_plain(lab):\n    pass\n")
    done = run(pytester, "-k", "plain")
    done.assert_outcomes(errors=1, deselected=13)
    assert "for functions marked with @incident" in done.stdout.str()


@pytest.mark.parametrize(
    ("content", "says"),
    [(None, "there is no"), ("", "kubeconfig"), ("apiVersion: [", "kubeconfig")],
)
def test_a_kubeconfig_that_leads_nowhere_makes_the_verdict_unknown(
    pytester: pytest.Pytester, content: str | None, says: str
) -> None:
    body = """
from chaos.clusters.shape import Shape

@incident("mass-termination", on=("kind",))
def test_uses_the_cluster(lab):
    lab.cluster(Shape())
"""
    suite(pytester, body)
    if content is not None:
        (pytester.path / "mine.yaml").write_text(content)
    done = run(pytester, "--ordeal-cluster", "existing", "--ordeal-kubeconfig", "mine.yaml")
    said = done.stdout.str() + done.stderr.str()
    assert done.ret != 0
    assert says in said
    assert "mine.yaml" in said
    assert "Traceback" not in said


USES_THE_CLUSTER = """
from chaos.clusters.shape import Shape

@incident("mass-termination", on=("kind",))
def test_uses_the_cluster(lab):
    lab.cluster(Shape())

@incident("mass-termination", on=("kind",))
def test_uses_it_too(lab):
    lab.cluster(Shape())
"""


def existing(pytester: pytest.Pytester, api: FakeApiServer, *options: str) -> pytest.RunResult:
    return run(pytester, "--ordeal-cluster", "existing", "--ordeal-kubeconfig", str(api.kubeconfig), *options)


def test_rights_that_lack_are_said_once_and_before_any_replay(pytester: pytest.Pytester, tmp_path: Path) -> None:
    suite(pytester, USES_THE_CLUSTER)
    with FakeApiServer(tmp_path, tls=True) as api:
        api.forbidden = {("list", "nodes"), ("create", "namespaces")}
        done = existing(pytester, api)
    said = done.stdout.str() + done.stderr.str()
    assert done.ret == 2
    assert said.count("the kubeconfig's user may not list nodes or create namespaces (in all namespaces)") == 1
    assert "FAILED" not in said
    assert "Traceback" not in said
    assert not (pytester.path / "results").exists()


def test_a_right_that_one_replay_lacks_is_its_verdict_in_one_sentence(
    pytester: pytest.Pytester, tmp_path: Path
) -> None:
    body = """
from kubernetes.client import AppsV1Api
from chaos.clusters.shape import Shape

@incident("mass-termination", on=("kind",))
def test_asks_for_more(lab):
    with lab.cluster(Shape()).api() as client:
        AppsV1Api(client).list_daemon_set_for_all_namespaces()
"""
    suite(pytester, body)
    with FakeApiServer(tmp_path, tls=True) as api:
        api.forbidden = {("list", "daemonsets")}
        done = existing(pytester, api)
    said = done.stdout.str()
    assert done.ret == pytest.ExitCode.TESTS_FAILED
    assert 'unknown: daemonsets is forbidden: User "few" cannot list resource "daemonsets"' in said
    assert "Traceback" not in said
    assert "ApiException" not in said


@pytest.mark.parametrize(
    ("user", "cluster", "says"),
    [
        ({"tokenFile": "/nonexistent"}, {}, "tokenFile /nonexistent can't be read: No such file or directory"),
        ({"client-certificate-data": "%", "client-key-data": "%"}, {}, "client-certificate-data is not base64"),
        ({"auth-provider": {"name": "azure"}}, {}, "auth-provider 'azure' is gone"),
        (
            {"exec": {"apiVersion": "client.authentication.k8s.io/v1beta1", "command": "aws-of-nobody"}},
            {},
            "the program aws-of-nobody, which is not there",
        ),
        ({}, {"certificate-authority": "/nonexistent"}, "certificate-authority /nonexistent can't be read"),
        ({}, {"proxy-url": "gopher://x"}, "proxy-url must begin with"),
    ],
)
def test_what_a_kubeconfig_names_and_is_not_there_ends_before_anything_is_collected(
    pytester: pytest.Pytester, tmp_path: Path, user: dict[str, Any], cluster: dict[str, str], says: str
) -> None:
    suite(pytester, USES_THE_CLUSTER)
    with FakeApiServer(tmp_path, tls=True) as api:
        api.config["users"][0]["user"] = user
        api.config["clusters"][0]["cluster"] |= cluster
        api.kubeconfig.write_text(yaml.safe_dump(api.config))
        done = existing(pytester, api, "--collect-only")
        assert api.requests == []
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    assert says in done.stderr.str()
    assert "INTERNALERROR" not in done.stdout.str() + done.stderr.str()


def test_a_proxy_that_is_none_ends_before_anything_is_collected(
    pytester: pytest.Pytester, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    suite(pytester, USES_THE_CLUSTER)
    monkeypatch.setenv("HTTPS_PROXY", "gopher://x")
    with FakeApiServer(tmp_path, tls=True) as api:
        api.config["clusters"][0]["cluster"]["server"] = "https://api.example"
        api.kubeconfig.write_text(yaml.safe_dump(api.config))
        done = existing(pytester, api, "--collect-only")
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    assert "HTTPS_PROXY is no proxy that can be used" in done.stderr.str()


def test_a_plugin_that_fails_is_said_once_and_before_any_replay(pytester: pytest.Pytester, tmp_path: Path) -> None:
    suite(pytester, USES_THE_CLUSTER)
    with FakeApiServer(tmp_path, tls=True) as api:
        Kubeconfig(tmp_path, api.config).plugin("echo your login has run out >&2; exit 1")
        api.kubeconfig.write_text(yaml.safe_dump(api.config))
        done = existing(pytester, api)
    said = done.stdout.str() + done.stderr.str()
    assert done.ret == 2
    assert said.count("exited with 1: your login has run out") == 1
    assert "Traceback" not in said


def test_an_unverified_server_and_a_proxy_of_the_environment_change_nothing(
    pytester: pytest.Pytester, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    suite(pytester, USES_THE_CLUSTER)
    with FakeApiServer(tmp_path, tls=True) as api:
        cluster = api.config["clusters"][0]["cluster"]
        del cluster["certificate-authority"]
        cluster["insecure-skip-tls-verify"] = True
        api.kubeconfig.write_text(yaml.safe_dump(api.config))
        done = existing(pytester, api, "-W", "error")
    said = done.stdout.str()
    assert "nothing was judged" in said
    assert "arning" not in said


def test_the_cluster_of_kubectl_is_taken_and_named_where_none_is_given(
    pytester: pytest.Pytester, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    suite(pytester, USES_THE_CLUSTER)
    with FakeApiServer(tmp_path, tls=True) as api:
        users = {"current-context": "mine", **{key: api.config[key] for key in ("users", "contexts")}}
        users["contexts"] = [{"name": "mine", "context": {"cluster": "fake", "user": "fake"}}]
        (tmp_path / "users").write_text(yaml.safe_dump(users))
        monkeypatch.setenv("KUBECONFIG", f"{tmp_path / 'users'}:{api.kubeconfig}")
        done = run(pytester, "--ordeal-cluster", "existing")
    said = done.stdout.str()
    assert "the cluster is that of the context 'mine' of " in said
    assert "nothing was judged" in said
    assert not list(kubeconfig_files.folder().iterdir()), "a copy of the user's is left"


# --- whose cluster it is


def left_on(api: FakeApiServer) -> None:
    """What a killed run leaves on an existing cluster."""
    ref = ClusterRef("existing", "theirs", str(api.kubeconfig), "fake", Identity(api.uid, server=api.url))
    with Journal(journals_dir() / "20260101-000000-dead.jsonl") as journal:
        journal.planned("claim", ref, {"holder": "run dead"})


@pytest.mark.parametrize("options", [(), ("-n", "1"), ("--ordeal-cluster", "simulated")])
def test_what_earlier_runs_left_on_a_cluster_that_is_not_ours_ends_the_run(
    options: tuple[str, ...], pytester: pytest.Pytester, tmp_path: Path
) -> None:
    """Whatever cluster this run is for: nobody has told it to touch that one."""
    suite(pytester, USES_THE_CLUSTER)
    with FakeApiServer(tmp_path) as api:
        left_on(api)
        done = run(pytester, *options)
        said = done.stdout.str() + done.stderr.str()
        assert done.ret == 2, said
        assert f"not ours to make: claim on theirs ({api.url}) [20260101-000000-dead:1]" in said
        assert "`kube-ordeal undo` undoes it, or give --ordeal-undo" in said
        assert not api.requests
    assert [path.name for path in journals_dir().iterdir() if path.stat().st_size] == ["20260101-000000-dead.jsonl"]


@pytest.mark.parametrize("options", [(), ("-n", "2")])
def test_a_run_that_is_told_to_undo_does_so_and_has_the_cluster_for_itself(
    options: tuple[str, ...], pytester: pytest.Pytester, tmp_path: Path
) -> None:
    suite(pytester, USES_THE_CLUSTER)
    with FakeApiServer(tmp_path) as api:
        left_on(api)
        done = existing(pytester, api, "--ordeal-undo", *options)
        done.assert_outcomes(failed=2)  # nothing is judged: that is unknown
        assert "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases" in api.requests, "it was claimed"
        assert api.lease is None, "and given back"
    assert not [path for path in journals_dir().iterdir() if path.stat().st_size]


@pytest.mark.parametrize("options", [(), ("-n", "1")])
def test_a_cluster_that_another_run_has_is_refused(
    options: tuple[str, ...], pytester: pytest.Pytester, tmp_path: Path
) -> None:
    suite(pytester, USES_THE_CLUSTER)
    with FakeApiServer(tmp_path) as api, Claim(api.client, "run x of ann on host-1"):
        done = existing(pytester, api, *options)
    said = done.stdout.str() + done.stderr.str()
    assert done.ret == 2, said
    assert "the cluster is claimed by run x of ann on host-1" in said
    assert not (pytester.path / "results").exists()
