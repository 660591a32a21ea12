"""e2e.test of a Kubernetes version: built here, published, or the user's own; and whether it fits a cluster."""

import json
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

from chaos.basics.files import place
from chaos.basics.progress import Report, silent
from chaos.basics.untrusted import json_file
from chaos.errors import OrdealError
from chaos.hosts import binaries, bundles, kubectl, registry, trusted
from chaos.hosts.bundles import plain
from chaos.hosts.command import CommandError, run
from chaos.hosts.engine import Engine
from chaos.hosts.places import APP, cache_dir, cache_path

BUNDLE, NAME = "conformance", "e2e.test"
PUBLISHED = "registry.k8s.io/conformance"  # upstream's image of the same programs
RECORD = "taken.json"
IN_IMAGE, KUBECTL = "/usr/local/bin", "kubectl"
_VERSION = re.compile(r'^(?:.*GitVersion:"|)v(\d+\.\d+\.[^"\s]+)')


@dataclass(frozen=True, slots=True)
class E2eProgram:
    """An e2e.test, the Kubernetes version that it tests, and the kubectl that it calls (None: the one in PATH)."""

    path: Path
    version: str
    kubectl: Path | None = None


def find(version: str) -> E2eProgram | None:
    """The one that was built here, or taken from the published image; None where none was. Builds nothing."""
    wanted = bundles.normal_version(plain(version))
    made = binaries.built(BUNDLE, wanted)
    if made is not None:
        return E2eProgram(made.path(NAME), wanted, _kubectl(wanted))
    return _taken(wanted)


def take(version: str, engine: Engine, *, report: Report = silent) -> E2eProgram | None:
    """e2e.test out of the published image of exactly that version. It is kept.

    None where no registry has the image, or its digest is not known here: a program that anybody could have put under
    a name is not run. Raises OrdealError where it can't be pulled, CommandError where it has other programs than
    upstream's.
    """
    wanted = bundles.normal_version(version)
    image, target = registry.known(f"{PUBLISHED}:v{wanted}"), taken(wanted)
    if not image:
        report(f"{NAME} is not taken out of {PUBLISHED}:v{wanted}: its digest is not in manifests/published-images")
        return None
    if _taken(wanted) is None:
        if not registry.is_on_engine(engine, image) and not registry.ask(engine, image).there:
            return None
        report(f"taking {NAME} out of {image}")
        registry.bring(engine, image, report)
        (target / RECORD).unlink(missing_ok=True)
        registry.take_out(engine, image, IN_IMAGE, (KUBECTL, NAME), target)
        sums = {name: binaries.digest(target / name) for name in (KUBECTL, NAME)}
        place(target / RECORD, json.dumps({"image": image, "sha256": sums}, indent=1))  # last: it is whole now
    return E2eProgram(target / NAME, wanted, target / KUBECTL)


def build(version: str, *, report: Report = silent) -> E2eProgram:
    """Build e2e.test and the programs of its images, unless the cache has them. Raises as chaos.hosts.binaries.build.

    It takes minutes, and some gigabytes of memory while it links.
    """
    made = binaries.build(BUNDLE, version, report=report)
    return E2eProgram(made.path(NAME), made.version, _kubectl(made.version))


def ask(path: Path, option: str, *, timeout_s: float) -> str:
    """What an e2e.test says to an option; what each start of it leaves among the temporary files is taken away.

    Raises CommandError.
    """
    with tempfile.TemporaryDirectory() as temporary:
        return run([str(path), option], timeout_s=timeout_s, env={"TMPDIR": temporary}).out


def given(path: Path) -> E2eProgram:
    """The user's own e2e.test. Raises OrdealError where the file is none."""
    try:
        said = ask(path, "--version", timeout_s=60.0)
    except CommandError as error:
        raise OrdealError(f"{path} is no e2e.test that runs here.\n{error}") from error
    found = _VERSION.search(said)
    if found is None:
        raise OrdealError(f"{path} is no e2e.test: asked for its version it says {said.strip()[:200]!r}.")
    return E2eProgram(path, found[1], _kubectl(found[1]))


def require(version: str) -> E2eProgram:
    """The one that was built here. Raises OrdealError with the command that builds it."""
    program = find(version)
    if program is None:
        raise OrdealError(not_built(version))
    return program


def lacking(version: str) -> str:
    """Why specs can't be run on clusters of that version; "" where they can."""
    return "" if find(version) is not None else not_built(version)


def not_built(version: str) -> str:
    """The sentence that says so."""
    return f"e2e.test of Kubernetes {version} is not built; `{APP} conformance build --kubernetes {version}` makes it"


def check_version(program: E2eProgram, cluster: str, *, asked_for: bool = False) -> None:
    """Refuse an e2e.test of another version than the cluster's, unless the user asked for it. Raises OrdealError."""
    if asked_for or plain(program.version) == plain(cluster):
        return
    raise OrdealError(
        f"e2e.test is of Kubernetes {program.version} and the cluster of {cluster}: what fails would say "
        f"nothing of the cluster. Build that of {plain(cluster)}, or ask for this one with "
        f"--ordeal-conformance-version {program.version}."
    )


def taken(version: str) -> Path:
    """Where that version's programs out of the published image are."""
    return cache_dir() / "conformance" / f"published-{version}"


def _taken(version: str) -> E2eProgram | None:
    """The one that was taken out of the image that is known now. Raises OrdealError where it is not what was taken."""
    folder = taken(version)
    for each in (RECORD, KUBECTL, NAME):
        trusted.check(folder / each, cache_path())
    try:
        record = json_file(folder / RECORD)
        if record["image"] != registry.known(f"{PUBLISHED}:v{version}"):
            return None
        for name in (KUBECTL, NAME):
            binaries.check(folder / name, record["sha256"][name])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return E2eProgram(folder / NAME, version, folder / KUBECTL)


def _kubectl(version: str) -> Path | None:
    try:
        return kubectl.find(plain(version))
    except OrdealError:  # a version that is written in another way
        return None
