"""Are programs that are built here the same bytes when they are built a second time, elsewhere?

python -m tests.bench.twice [--kubernetes VERSION] [--elsewhere FOLDER] [BUNDLE...]. Long: `make bench-twice` runs it.

What is in the cache (or is built into it now) is compared, program by program, with a second build: in another folder,
with another build cache of Go's, from the same pinned modules. Where bytes differ, what differs in them is named.
"""

import argparse
import hashlib
import os
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from chaos.errors import OrdealError
from chaos.hosts import binaries, go
from chaos.hosts.bundles import BUNDLES, DEFAULT_KUBERNETES
from chaos.hosts.places import CACHE_HOME, cache_path

GO_CACHE = "GOCACHE"
UNKNOWN = "the first differing byte is at"
_TIME = re.compile(rb"\b20\d\d-[01]\d-[0-3]\d[T ][0-2]\d:[0-5]\d:[0-5]\d")
ASK_TIMEOUT_S = 600.0  # at the lowest priority, beside everything else
SHOWN = 3  # times, and lines of the build information, that are named


@dataclass(frozen=True, slots=True)
class Compared:
    """One program of two builds. `why`: what differs, in words; `named`: more of it is known than where."""

    program: str
    sha256: tuple[str, str]
    size_bytes: int
    why: tuple[str, ...] = ()

    @property
    def same(self) -> bool:
        return self.sha256[0] == self.sha256[1]

    @property
    def named(self) -> bool:
        return not any(each.startswith(UNKNOWN) for each in self.why)


def compare(
    first: Path,
    second: Path,
    folders: Sequence[Path],
    about: Callable[[Path], Sequence[str]],
) -> Compared:
    """Compare two builds of a program. `folders`: where each was made, so that their names would be in it; `about`: the
    lines that Go says of how a program was built.
    """
    one, two = first.read_bytes(), second.read_bytes()
    sums = (hashlib.sha256(one).hexdigest(), hashlib.sha256(two).hexdigest())
    why = () if one == two else tuple(_differences(one, two, folders, (about(first), about(second))))
    return Compared(first.name, sums, len(one), why)


def _differences(
    one: bytes, two: bytes, folders: Sequence[Path], about: tuple[Sequence[str], Sequence[str]]
) -> Iterator[str]:
    """What differs in two programs, in words; where nothing is known, at which byte they begin to."""
    said = False
    for line in [each for each in about[0] if each not in about[1]][:SHOWN]:
        said = True
        key = line.split("=")[0]
        other = next((each for each in about[1] if each.split("=")[0] == key), "nothing of it")
        yield f"Go says of the first {line!r}, of the second {other!r}"
    for folder in folders:
        if (str(folder).encode() in one) != (str(folder).encode() in two):
            said = True
            yield f"the path {folder} is in one of them"
    times = set(_TIME.findall(one)) ^ set(_TIME.findall(two))
    if times:
        said = True
        yield f"times are in one of them: {', '.join(sorted(each.decode() for each in times)[:SHOWN])}"
    if not said:
        at = next((i for i, (a, b) in enumerate(zip(one, two, strict=False)) if a != b), min(len(one), len(two)))
        yield f"{UNKNOWN} {at} of {len(one)}, and nothing tells why"


def line(bundle: str, version: str, each: Compared) -> str:
    """A program as it is told."""
    what = f"{bundle} {version}: {each.program}, {each.size_bytes / 1e6:.1f} MB, "
    if each.same:
        return f"{what}the same bytes, SHA-256 {each.sha256[0]}"
    return f"{what}DIFFERS, SHA-256 {each.sha256[0]} and {each.sha256[1]}: {'; '.join(each.why)}"


def answer(all_of_it: Sequence[Compared]) -> str:
    """The last line."""
    same, unnamed = sum(each.same for each in all_of_it), sum(not each.same and not each.named for each in all_of_it)
    differ = len(all_of_it) - same
    of = f"{same} of {len(all_of_it)} programs are the same bytes"
    return f"{of}; {differ} differ, {unnamed} of them for no known reason" if differ else of


@contextmanager
def elsewhere(folder: Path) -> Iterator[None]:
    """For the block's length, builds go to that folder and Go's build cache is below it."""
    before: Mapping[str, str | None] = {name: os.environ.get(name) for name in (CACHE_HOME, GO_CACHE)}
    os.environ |= {CACHE_HOME: str(folder / "cache"), GO_CACHE: str(folder / "go-build")}
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def build_info(program: Path) -> tuple[str, ...]:
    """What `go version -m` says of a program, a line each, without its name.

    Its build id is left out: it is another one wherever bytes differ, and tells nothing of why.
    """
    at = Path(__file__).parent  # without a go.mod, which might ask for a newer Go
    said = go.go(["version", "-m", str(program)], cwd=at, timeout_s=ASK_TIMEOUT_S, check=False).out
    return tuple(each.replace(str(program), "").expandtabs(1).strip() for each in said.splitlines())


def go_on(bundles: Sequence[str], kubernetes: str, folder: Path, tell: Callable[[str], None]) -> int:
    """Build each a second time and compare; 0 where nothing differs but for a reason that is named."""
    found: list[Compared] = []
    for bundle in bundles:
        version = kubernetes if BUNDLES[bundle].staging else None
        first = binaries.build(bundle, version, report=tell)
        here, began = cache_path(), time.monotonic()
        with elsewhere(folder):
            second, there = binaries.build(bundle, version, report=tell), cache_path()
        tell(f"{bundle} {first.version}: built elsewhere in {time.monotonic() - began:.0f} s")
        folders = (first.directory, here, second.directory, there, folder)
        for program in sorted(first.sha256):
            one, two = first.directory / program, second.directory / program
            found.append(compare(one, two, folders, build_info))
            tell(line(bundle, first.version, found[-1]))
    tell(answer(found))
    return 0 if all(each.same or each.named for each in found) else 1


def main() -> int:
    """Ask what is wanted, and do it."""
    asked = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    asked.add_argument("bundles", nargs="*", metavar="BUNDLE", help=f"of {', '.join(BUNDLES)} (default: all)")
    asked.add_argument("--kubernetes", default=DEFAULT_KUBERNETES, metavar="VERSION")
    asked.add_argument("--elsewhere", type=Path, metavar="FOLDER", help="it is kept (default: one that goes)")
    given = asked.parse_args()
    if unknown := [each for each in given.bundles if each not in BUNDLES]:
        asked.error(f"no bundle is named {unknown[0]!r}; there are {', '.join(BUNDLES)}")

    def tell(text: str) -> None:
        print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)

    try:
        with tempfile.TemporaryDirectory(prefix="kube-ordeal-twice-", ignore_cleanup_errors=True) as temporary:
            folder = (given.elsewhere or Path(temporary)).absolute()
            return go_on(given.bundles or list(BUNDLES), given.kubernetes, folder, tell)
    except OrdealError as error:
        print(error, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
