"""What an extra's lack is told by: one sentence with the command that brings it, before anything is done."""

import json
import subprocess
import sys
import tomllib
from importlib.metadata import PackagePath, distribution, packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from chaos.clusters.base import EXISTING, KIND, SIMULATED
from chaos.clusters.kind import pytestkind
from chaos.clusters.kind.pytestkind import KindTools
from chaos.clusters.shape import Shape
from chaos.errors import OrdealError
from chaos.hosts import extras
from chaos.judge.catalogue import incidents
from chaos.record.journal import Journal
from chaos.report.close import close
from chaos.run.incident import Replay
from chaos.run.obstacles import lacking_extra
from chaos.run.stage import LacksAbilityError
from chaos.run.suites import suites
from tests.cli.test_cli import Home, refused
from tests.report.made import outcome, results
from tests.run.labs import a_lab

ROOT = Path(__file__).resolve().parents[2]
BINLOG = next(each for each in incidents() if each.id == "mysql-binlog")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.chdir(tmp_path)
    return Home(tmp_path)


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """No extra is installed."""
    for name in extras.MODULES:
        monkeypatch.setitem(extras.MODULES, name, (f"no_{name}_here",))


def a_replay(*named: str, on: str = KIND) -> Replay:
    return Replay(BINLOG, (on,), (), (), "", extras=named)


def test_each_extra_is_declared_with_the_packages_of_its_modules() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    (every,) = map(Requirement, declared["all"])
    assert every.extras == extras.MODULES.keys() == declared.keys() - {"all", "dev", "docs"}
    assert extras.SERVES.keys() == extras.MODULES.keys()
    packages = packages_distributions()
    # Those with dots are in a folder that several packages share.
    for module in {each for modules in extras.MODULES.values() for each in modules if "." in each}:
        file = PackagePath(*module.split("."), "__init__.py")
        names = {each for each in packages[module.partition(".")[0]] if file in (distribution(each).files or ())}
        packages = {**packages, module: list(names)}
    for name, modules in extras.MODULES.items():
        wanted = {canonicalize_name(Requirement(each).name) for each in declared[name]}
        assert wanted == {canonicalize_name(each) for module in modules for each in packages[module]}, name


def test_nothing_lacks_where_all_is_installed() -> None:
    assert [extras.lacks(each) for each in extras.MODULES] == [""] * len(extras.MODULES)


@pytest.mark.usefixtures("bare")
def test_what_lacks_is_named_with_what_needs_it_and_the_command() -> None:
    said = "kind clusters can't be had: no_kind_here is not installed; pip install 'kube-ordeal[kind]'"
    assert extras.lacks(extras.KIND) == said
    with pytest.raises(OrdealError, match=r"^this can't be had: .*\[report\]'$"):
        extras.need(extras.REPORT, "this")


@pytest.mark.usefixtures("bare")
def test_a_replay_lacks_what_its_cluster_and_its_workload_take() -> None:
    assert "kube-ordeal[kind]" in lacking_extra(a_replay(), KIND)
    assert lacking_extra(a_replay(), SIMULATED) == ""
    said = lacking_extra(a_replay(extras.DATABASES), EXISTING)
    assert said.startswith("mysql-binlog can't be replayed here: replays with MySQL can't be had: ")
    assert said.endswith("pip install 'kube-ordeal[databases]'")


class NoPool:
    def acquire(self, *_: object) -> None:
        pytest.fail("a cluster was made")


@pytest.mark.usefixtures("bare")
def test_a_replay_is_skipped_before_a_cluster_is_made_for_it(tmp_path: Path) -> None:
    with Journal(tmp_path / "journal.jsonl") as journal:
        lab = a_lab(tmp_path, a_replay(), on=KIND, pool=NoPool(), journal=journal)
        with pytest.raises(LacksAbilityError, match=r"mysql-binlog can't be replayed here: kind clusters .*\[kind\]"):
            lab.cluster(Shape())


def test_suites_that_run_mysql_s_client_say_so() -> None:
    named = {each.test for each in suites() if extras.DATABASES in each.replay.extras}
    mysql = {each.test for each in suites() if "mysql" in each.replay.images and not each.replay.variant}
    assert named == mysql | {each.test for each in suites() if "galera" in each.replay.images}
    assert len(named) == 3


@pytest.mark.usefixtures("bare")
def test_a_kind_cluster_is_not_begun(tmp_path: Path) -> None:
    with pytest.raises(OrdealError, match=r"^kind clusters can't be had: .*'kube-ordeal\[kind\]'$"):
        pytestkind.create("one", tmp_path / "config", None, tmp_path, KindTools(tmp_path, tmp_path), "net")


@pytest.mark.usefixtures("bare")
def test_a_run_ends_without_its_page(tmp_path: Path) -> None:
    made, said = results(tmp_path), list[str]()
    made.add(outcome())
    close(made.directory, said.append)
    (told,) = said
    assert told.startswith("the page of a run can't be had: no_report_here is not installed; pip install ")
    assert told.endswith(f" 'kube-ordeal[report]', then kube-ordeal report {made.directory} --html")
    assert "ended" in json.loads((made.directory / "results.json").read_text())
    assert not (made.directory / "report.html").exists()


@pytest.mark.usefixtures("bare")
def test_commands_refuse_what_takes_an_extra(home: Home) -> None:
    results(home.path / "results").add(outcome())
    refused(home.run("report", "--html"), "pip install 'kube-ordeal[report]'")
    refused(home.run("compare", "latest", "latest"), "pip install 'kube-ordeal[gate]'")
    refused(home.run("gate", "--from", "1.34.4", "--to", "1.36.3"), "pip install 'kube-ordeal[gate]'")
    assert home.run("report").code == 0
    said = json.loads(home.run("doctor", "--json").out)
    by_title = {each["title"]: each for each in said["checks"]}
    assert by_title["extra [kind]"]["status"] == "missing"
    assert by_title["extra [kind]"]["mend"] == "pip install 'kube-ordeal[kind]'"
    assert (
        by_title["other extras"]["mend"]
        == "pip install 'kube-ordeal[report,gate,toolkit,databases,socks,agent,otel,metrics]'"
    )


def test_nothing_of_an_extra_or_of_kubernetes_api_is_imported_before_it_is_used() -> None:
    ours = [modules for name, modules in extras.MODULES.items() if name != extras.SOCKS]  # others import that one
    names = sorted({each for modules in ours for each in modules})
    api = ("kubernetes.client.api.", "kubernetes.client.models.")  # half a second of a start
    code = (
        "import sys, chaos.session.hooks, chaos.cli.app, chaos.toolkit.probes, chaos.toolkit.actions; "
        "import chaos.toolkit.guard; from chaos.cli import gate; from chaos.run.suites import suites; suites(); "
        f"print([each for each in sys.modules if each in {names} or each.startswith({api})])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.stdout == "[]\n", done.stderr
