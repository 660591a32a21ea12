"""The plugin beside others: in another project's pytest nothing of it is active, and in ours none of theirs does harm.

Suites and plugins are written here. `tests/integration/test_other_plugins.py` does the same with the real ones.
"""

import json
import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from chaos.clusters.base import EXISTING, KIND, SIMULATED
from chaos.conformance.choice import SETS
from chaos.harm import load_all
from chaos.hosts import workload_recipes
from chaos.run import options
from chaos.run.options import options_of
from chaos.run.profile import PROFILES
from chaos.run.suites import replays
from chaos.session.ending import NO_RERUN
from tests.session.test_plugin import PARAMETRIZED, SUITE, VERDICTS

pytest_plugins = ["pytester"]
load_all()  # the inner runs share this process: what they import anew they would register twice
replays()
HEAVY = ("chaos.session.hooks", "chaos.run.lab", "chaos.clusters", "chaos.suites", "kubernetes", "yaml", "rich")
OURS = [sys.executable, "-m", "pytest", "-p", "no:hypothesispytest", "-p", "no:cacheprovider"]
# What another project's run looks like from inside, written by its conftest.
FOREIGN = """
import json, os, signal, sys

def pytest_sessionfinish(session):
    config = session.config
    sched = getattr(config.pluginmanager.getplugin("dsession"), "sched", None)
    seen = {
        "modules": sorted(sys.modules),
        "awake": config.pluginmanager.has_plugin("chaos.session.hooks"),
        "markers": config.getini("markers"),
        "scheduler": type(sched).__name__,
        "signal": signal.getsignal(signal.SIGTERM) is signal.SIG_DFL,
    }
    with open(f"seen-{os.environ.get('PYTEST_XDIST_WORKER', '')}.json", "w") as file:
        file.write(json.dumps(seen))
"""
ORDINARY = """
import pytest

def test_passes(): pass

@pytest.mark.parametrize("spec", ["kind-hardened"])
def test_is_theirs(spec, specs): assert specs == "theirs"

@pytest.fixture
def specs(): return "theirs"
"""


@pytest.fixture(autouse=True)
def own_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)  # where these tests themselves go side by side


def run(pytester: pytest.Pytester, *given: str) -> pytest.RunResult:
    return pytester.runpytest_inprocess("-p", "no:hypothesispytest", *given)


def verdicts(folder: Path) -> dict[str, str]:
    content = json.loads((folder / "results" / "latest" / "results.json").read_text())
    return {each["test"].split("::")[1]: each["verdict"] for each in content["incidents"]}


def in_a_process(folder: Path, *given: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*OURS, *given],
        cwd=folder,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


# --- another project's pytest


@pytest.mark.parametrize("side_by_side", [(), ("-n", "1")], ids=["alone", "side by side"])
def test_in_another_projects_pytest_nothing_is_imported_and_nothing_active(
    pytester: pytest.Pytester, side_by_side: tuple[str, ...]
) -> None:
    pytester.makeconftest(FOREIGN)
    pytester.makepyfile(test_theirs=ORDINARY)
    # pytest-kind imports some of the same
    done = in_a_process(pytester.path, "-p", "no:pytest-kind", *side_by_side)
    assert "2 passed" in done.stdout, done.stdout + done.stderr
    seen = [json.loads(path.read_text()) for path in pytester.path.glob("seen-*.json")]
    assert len(seen) == 1 + bool(side_by_side)
    for each in seen:
        assert [m for m in each["modules"] if m.startswith(HEAVY)] == []
        assert "chaos.plugin" in each["modules"]
        assert not each["awake"]
        assert not [line for line in each["markers"] if "upstream" in line]
        assert each["signal"]
        assert each["scheduler"] in {"NoneType", "LoadScheduling"}
    assert not (pytester.path / "results").exists()


def test_a_function_that_replays_wakes_it_and_so_does_an_option(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(FOREIGN)
    for body, given in ((SUITE + VERDICTS, ("-k", "test_held")), (ORDINARY, ("--ordeal-profile", "smoke"))):
        pytester.makepyfile(test_it=body)
        assert run(pytester, *given).ret == 0
        assert json.loads((pytester.path / "seen-.json").read_text())["awake"]


def test_a_conftest_that_names_it_wakes_it(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(f"pytest_plugins = ['chaos.plugin']\n{FOREIGN}")
    pytester.makepyfile(test_theirs=ORDINARY)
    run(pytester)
    assert json.loads((pytester.path / "seen-.json").read_text())["awake"]


def test_plugins_and_arguments_of_any_kind_are_no_matter(pytester: pytest.Pytester) -> None:
    pytester.mkdir("sub").joinpath("test_theirs.py").write_text(ORDINARY)
    pytester.makeconftest(
        "import types\npytest_plugins = None\n"
        "def pytest_configure(config):\n"
        "    config.pluginmanager.register(types.ModuleType('made_here'))\n"
        "    config.pluginmanager.register(object(), 'an object')\n"
    )
    pytester.makepyfile(
        test_objects="from unittest.mock import MagicMock\n"
        "class Angry:\n    def __getattr__(self, name): raise ZeroDivisionError(name)\n"
        "angry, mocked = Angry(), MagicMock()\n"
        "def test_it(): pass\n"
    )
    done = run(pytester, "sub/test_theirs.py::test_passes", "test_objects.py")
    done.assert_outcomes(passed=2)


def test_tests_that_replay_nothing_come_first_and_stay_in_their_order(pytester: pytest.Pytester) -> None:
    for folder in ("a", "preflight"):
        pytester.mkdir(folder).joinpath(f"test_{folder}_theirs.py").write_text("def test_it(): pass")
    pytester.makepyfile(test_suite=SUITE + PARAMETRIZED)
    done = run(pytester, "--collect-only", "-q")
    found = [line for line in done.outlines if "::" in line]
    assert found[:3] == [
        "a/test_a_theirs.py::test_it",
        "preflight/test_preflight_theirs.py::test_it",
        "test_suite.py::test_ordinary",
    ]


# --- options


def test_what_is_written_down_for_the_options_is_what_there_is() -> None:
    assert options.CLUSTERS == ("auto", KIND, SIMULATED, EXISTING)
    assert tuple(sorted(PROFILES)) == options.PROFILES
    assert options.SPEC_SETS == SETS
    assert workload_recipes.names() == options.WORKLOADS
    assert options.MYSQL_CLOCK not in options.WORKLOADS
    assert all(each.written.startswith("--ordeal-") for each in options.OPTIONS)


THEIRS = """
def pytest_addoption(parser):
    group = parser.getgroup("theirs")
    group.addoption("--profile", action="store_true")
    group.addoption("--context", default="unset")
    group.addoption("--results", default="unset")
    group.addoption("--kubernetes", required=False, type=int)

def pytest_report_header(config):
    option = config.option
    return f"theirs: {option.profile} {option.context} {option.results} {option.kubernetes}"
"""


@pytest.mark.parametrize("where", ["conftest", "before", "after"])
def test_an_option_that_another_plugin_has_is_that_plugins(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    pytester.makepyfile(test_theirs=ORDINARY)
    pytester.syspathinsert()
    if where == "conftest":
        pytester.makeconftest(THEIRS)
    else:
        pytester.makepyfile(theirs=THEIRS)
    if where == "after":  # a conftest is loaded after every other plugin
        pytester.makeconftest("pytest_plugins = ['theirs']")
    early = ("-p", "theirs") if where == "before" else ()
    monkeypatch.setenv("PYTEST_ADDOPTS", "--context=x")
    done = in_a_process(pytester.path, *early, "--profile", "--results", "there", "--kubernetes=1")
    assert "theirs: True x there 1" in done.stdout, done.stdout + done.stderr
    assert done.returncode == 0
    assert not (pytester.path / "there").exists()


@pytest.mark.parametrize(
    ("arguments", "addopts", "ini"),
    [
        (("--profile", "full", "--no-controls", "--cluster=kind", "--kubeconfig", "x", "--cluster-name=y"), "", ""),
        (("--cluster", "kind", "--plan"), "--profile=full --kubeconfig=x", "--no-controls --cluster-name y"),
        (("--ordeal-profile", "full", "--ordeal-no-controls", "--ordeal-cluster", "kind"), "--kubeconfig x",
         "--ordeal-cluster-name=y"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("switched_off", [(), ("-p", "no:pytest-kind")])
def test_old_names_are_taken_where_they_are_free(
    pytester: pytest.Pytester,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    addopts: str,
    ini: str,
    switched_off: tuple[str, ...],
) -> None:
    monkeypatch.setenv("PYTEST_ADDOPTS", addopts)
    pytester.makeini(f"[pytest]\naddopts = {ini}")
    pytester.makepyfile(test_it="")
    asked = options_of(pytester.parseconfig(*switched_off, *arguments, "test_it.py"))
    assert (asked.profile, asked.controls, asked.cluster, str(asked.kubeconfig)) == ("full", False, "kind", "x")
    assert asked.cluster_name == "y"
    assert asked.plan == ("--plan" in arguments)


def test_what_comes_after_two_dashes_is_no_option(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_it="")
    config = pytester.parseconfig("--profile", "full", "--", "test_it.py")
    assert options_of(config).profile == "full"
    assert config.args[0] == "test_it.py"


def test_processes_side_by_side_are_handed_what_was_asked(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_suite=SUITE + VERDICTS)
    done = in_a_process(pytester.path, "-n", "1", "-k", "test_held", "--profile", "full", "--ordeal-results", "there")
    assert "1 passed" in done.stdout, done.stdout + done.stderr
    (path,) = (pytester.path / "there").glob("2*/results.json")
    assert [each["profile"] for each in json.loads(path.read_text())["incidents"]] == ["full"]


# --- plugins that are switched off

SWITCHED_OFF = [
    "assertion", "cacheprovider", "capture", "debugging", "doctest", "faulthandler", "junitxml", "legacypath",
    "logging", "pastebin", "pytest-kind", "recwarn", "setuponly", "setupplan", "skipping", "stepwise", "subtests",
    "terminal", "threadexception", "timeout", "tmpdir", "unittest", "unraisableexception", "warnings", "xdist",
]  # fmt: skip


@pytest.mark.parametrize(
    "name",
    SWITCHED_OFF,
)
def test_a_replay_has_the_same_verdict_whatever_is_switched_off(pytester: pytest.Pytester, name: str) -> None:
    pytester.makepyfile(test_suite=SUITE + VERDICTS)
    done = run(pytester, "-p", f"no:{name}", "-k", "test_held or test_violated", "--ordeal-cluster", "kind")
    assert done.ret == pytest.ExitCode.TESTS_FAILED
    assert verdicts(pytester.path) == {
        "test_held[kind-hardened]": "held",
        "test_violated[kind-hardened]": "violated",
    }


def test_the_checkouts_own_suites_are_there_where_no_plugin_is_loaded_by_itself() -> None:
    root = Path(__file__).parents[2]
    asked = ("suites/", "--collect-only", "-q", "-k", "mass", "--cluster", "kind", "--ordeal-no-controls")
    done = in_a_process(root, *asked, PYTEST_DISABLE_PLUGIN_AUTOLOAD="1")
    found = [line for line in done.stdout.splitlines() if "::" in line]
    assert found, done.stdout + done.stderr
    assert {line.rpartition("[")[2] for line in found} <= {"kind-hardened]", "kind]"}
    options = ("--ordeal-cluster", "existing", "--ordeal-kubeconfig", "/nonexistent")
    wrong = in_a_process(root, *asked[:3], *options, PYTEST_DISABLE_PLUGIN_AUTOLOAD="1")
    assert wrong.returncode == pytest.ExitCode.USAGE_ERROR
    assert "there is no kubeconfig at /nonexistent: name one with --ordeal-kubeconfig" in wrong.stderr
    assert "Traceback" not in wrong.stderr


def test_a_replay_does_not_fail_for_what_another_plugin_warns_of_and_our_own_tests_do(tmp_path: Path) -> None:
    (tmp_path / "warns.py").write_text(
        "import warnings\ndef pytest_configure(config): warnings.warn(DeprecationWarning('is old'))\n"
    )
    asked = ("suites/", "--collect-only", "-q", "-p", "warns")
    done = in_a_process(Path(__file__).parents[2], *asked, PYTHONPATH=str(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    with pytest.raises(DeprecationWarning):
        warnings.warn(DeprecationWarning("is old"), stacklevel=1)


# --- plugins that do something


AT_SECOND_TRY = """
tries = []

@incident("mass-termination", on=("kind",))
def test_at_second_try(lab):
    tries.append(1)
    lab.findings.append(finding(Verdict.HELD if len(tries) > 1 else Verdict.VIOLATED))
"""


@pytest.mark.parametrize("anew", ["setup", "call"])
def test_no_second_call_hides_what_the_first_one_has_shown(pytester: pytest.Pytester, anew: str) -> None:
    """As pytest-retry does it: within the report of the first call, and with fixtures made anew."""
    pytester.makeconftest(
        "import pytest\n"
        "def pytest_addoption(parser): parser.addoption('--retries', type=int)\n"
        "@pytest.hookimpl(wrapper=True)\n"
        "def pytest_runtest_makereport(item, call):\n"
        "    report = yield\n"
        "    if call.when != 'call' or not report.failed: return report\n"
        "    def again():\n"
        f"        if {anew!r} == 'setup':\n"
        "            item.session._setupstate.teardown_exact(item)\n"
        "            item._initrequest()\n"
        "            item.session._setupstate.setup(item)\n"
        "            item._request._fillfixtures()\n"
        "        item.ihook.pytest_runtest_call(item=item)\n"
        "    second = pytest.CallInfo.from_call(again, when='call')\n"
        "    return pytest.TestReport.from_item_and_call(item, second)\n"
    )
    pytester.makepyfile(test_suite=SUITE + AT_SECOND_TRY)
    done = run(pytester, "--retries", "2")
    done.assert_outcomes(failed=1)
    assert NO_RERUN in done.stdout.str()
    assert verdicts(pytester.path) == {"test_at_second_try[kind-hardened]": "violated"}


def test_no_second_try_hides_what_the_first_one_has_shown(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(
        "from _pytest.runner import runtestprotocol\n"
        "def pytest_addoption(parser): parser.addoption('--reruns', type=int)\n"
        "def pytest_runtest_protocol(item, nextitem):\n"
        "    for _ in range(2):\n"
        "        reports = runtestprotocol(item, nextitem=nextitem, log=False)\n"
        "        if not any(each.failed for each in reports): break\n"
        "    for each in reports: item.ihook.pytest_runtest_logreport(report=each)\n"
        "    return True\n"
    )
    body = """
def test_theirs(theirs=[]):
    theirs.append(1)
    assert len(theirs) > 1
"""
    pytester.makepyfile(test_suite=SUITE + AT_SECOND_TRY + body)
    done = run(pytester, "--reruns", "2")
    done.assert_outcomes(failed=1, passed=1)
    assert verdicts(pytester.path) == {"test_at_second_try[kind-hardened]": "violated"}
    done.stdout.fnmatch_lines([NO_RERUN])


@pytest.mark.parametrize("where", ["conftest", "plugin"])
def test_a_plugin_that_shuffles_does_not_part_what_shares_a_cluster(pytester: pytest.Pytester, where: str) -> None:
    shuffles = (
        "import pytest\n@pytest.hookimpl(tryfirst=True)\n"
        "def pytest_collection_modifyitems(items): items[:] = items[::2] + items[1::2][::-1]\n"
    )
    body = SUITE + '@incident("mass-termination", on=("kind", "simulated"))\ndef test_{}(lab):\n    pass\n'
    for folder in ("a_suite", "preflight"):
        pytester.mkdir(folder).joinpath(f"test_{folder}.py").write_text(body.format("it"))
    if where == "conftest":
        pytester.makeconftest(shuffles)
    else:
        pytester.makepyfile(shuffles=shuffles)
        pytester.syspathinsert()
    early = ("-p", "shuffles") if where == "plugin" else ()
    done = run(pytester, *early, "--collect-only", "-q")
    assert [line.replace("::test_it", "") for line in done.outlines if "::" in line] == [
        f"{folder}/test_{folder}.py[{kind}-hardened]"
        for kind in ("simulated", "kind")
        for folder in ("preflight", "a_suite")
    ]


TIMED = """
import threading
from pathlib import Path
from chaos.clusters.base import ClusterRef
from chaos.record.journal import WORKLOAD
from chaos.basics.signals import held_back

@incident("mass-termination", on=("kind",))
def test_hangs(lab):
    entry = lab.means.journal.planned(WORKLOAD, ClusterRef("simulated", "gone", "none"), {"namespace": "ordeal-web"})
    lab.phase("hold")
    try:
        threading.Event().wait(60)
    finally:
        with held_back():
            lab.means.journal.undone(entry)
            Path("undone").touch()

@incident("mass-termination", on=("kind",))
def test_next(lab):
    lab.findings.append(finding(Verdict.HELD))
"""


@pytest.mark.parametrize("given", ["--timeout-method=signal", "--timeout-method=thread", "-n 1"])
def test_a_replay_that_takes_too_long_is_unknown_and_leaves_nothing(
    pytester: pytest.Pytester, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    monkeypatch.setenv("PYTEST_ADDOPTS", f"--timeout=3 {given}")
    pytester.makeini("[pytest]\ntimeout_func_only = true")  # what comes before the story is not what is tried here
    pytester.makepyfile(test_suite=SUITE + TIMED)
    done = in_a_process(pytester.path)
    assert "1 failed, 1 passed" in done.stdout, done.stdout + done.stderr
    assert verdicts(pytester.path) == {"test_hangs[kind-hardened]": "unknown", "test_next[kind-hardened]": "held"}
    (why,) = [
        each["why"]
        for each in json.loads((pytester.path / "results" / "latest" / "results.json").read_text())["incidents"]
        if each["verdict"] == "unknown"
    ]
    assert why == "timed out after 3 s, in the phase hold"
    assert (pytester.path / "undone").exists()
    assert not list((tmp_path / "state").rglob("*.jsonl"))


def test_a_suite_that_fails_or_skips_by_pytests_own_means_has_an_end_in_the_results(pytester: pytest.Pytester) -> None:
    body = """
import pytest

@incident("mass-termination", on=("kind",))
def test_fails(lab):
    pytest.fail("as it likes")

@incident("mass-termination", on=("kind",))
def test_skips(lab):
    pytest.skip("not today")
"""
    pytester.makepyfile(test_suite=SUITE + body)
    run(pytester).assert_outcomes(failed=1, skipped=1)
    content = json.loads((pytester.path / "results" / "latest" / "results.json").read_text())
    assert [(each["verdict"], "as it likes" in each["why"]) for each in content["incidents"]] == [("unknown", True)]
    assert [each["why"] for each in content["skipped"]] == ["not today"]
    assert content["running"] == []


# --- what a machine has not


@pytest.mark.parametrize("suite", ["ours", "conformance"])
def test_a_state_folder_that_cannot_be_made_ends_the_run_in_one_sentence(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, suite: str
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "/proc/nowhere")
    if suite == "ours":
        pytester.makepyfile(test_suite=SUITE + VERDICTS)
        done = run(pytester)
    else:
        ours = Path(__file__).parents[2] / "suites" / "conformance" / "test_conformance.py"
        done = run(pytester, str(ours), "-p", "no:cacheprovider")  # its cache would be in the checkout
    said = done.stdout.str() + done.stderr.str()
    assert done.ret == 2
    assert "/proc/nowhere/kube-ordeal can't be made" in said
    assert "FAILED" not in said
    assert "Traceback" not in said
    assert not (pytester.path / "results").exists()


@pytest.mark.parametrize("kind", ["auto", "kind", "simulated"])
@pytest.mark.parametrize("name", ["My/Team_Cluster", "x" * 31, "-x", "a.b"])
def test_what_cannot_be_a_clusters_name_is_told_before_anything_is_made(
    pytester: pytest.Pytester, kind: str, name: str
) -> None:
    pytester.makepyfile(test_suite=SUITE + VERDICTS)
    done = run(pytester, "--ordeal-cluster", kind, f"--ordeal-cluster-name={name}")
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    assert f"{name!r} can't be the beginning of a cluster's name" in done.stderr.str()
    assert not (pytester.path / "results").exists()


def test_an_existing_cluster_needs_no_name(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_suite="")
    config = ("--ordeal-cluster", "existing", "--ordeal-kubeconfig", "none.yaml", "--ordeal-cluster-name", "My/Team")
    assert "there is no kubeconfig at none.yaml" in run(pytester, *config).stderr.str()
