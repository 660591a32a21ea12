"""A process whose wall clock is set while it runs, by libfaketime; the machine's, and its children's, are not.

As a plugin of pytest (-p tests.integration.stepped_clock) it keeps children out of it, and writes down what the clocks
of its process showed.
"""

import json
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from chaos.basics.files import place
from chaos.hosts.places import cache_dir

PACKAGE = "libfaketime"
SEEN, EVERY_S = "STEPPED_CLOCK_SEEN", 0.2
# Its own sleep knows only one clock, and refuses to sleep until a time of the monotonic one that is not faked (EINVAL),
# as Python's does. Under a name that nobody calls it is out of the way; shorter names are ends of this one.
SLEEP, NO_SLEEP = b"\0clock_nanosleep\0", b"\0clock_nanosleeq\0"


@dataclass(frozen=True, slots=True)
class SteppedClock:
    """`env`: of the process whose clock it is. Files of this test's own in `folder`."""

    library: Path
    folder: Path

    @property
    def env(self) -> dict[str, str]:
        return {
            "LD_PRELOAD": str(self.library),
            "FAKETIME_TIMESTAMP_FILE": str(self.folder / "offset"),
            "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",
            SEEN: str(self.folder / "seen.jsonl"),
        }

    def set_to(self, offset_s: int) -> None:
        """The clock is that much ahead of the machine's, a second from now at the latest."""
        place(self.folder / "offset", f"{offset_s:+d}\n".encode())

    def seen(self) -> list[tuple[float, float]]:
        """What the process saw: Unix time and monotonic time, together, in order."""
        return [tuple(json.loads(line)) for line in (self.folder / "seen.jsonl").read_text().splitlines()]


def stepped(folder: Path) -> SteppedClock:
    """One that is not set yet. Skips where the library can't be had."""
    debian = cache_dir() / "debian"
    debian.mkdir(exist_ok=True)
    if missing := [each for each in ("apt-get", "dpkg-deb") if shutil.which(each) is None]:
        pytest.skip(f"there is no {missing[0]}, which fetches the package {PACKAGE}")
    if not any(debian.glob(f"{PACKAGE}_*.deb")):
        fetch = ["apt-get", "download", "--quiet", PACKAGE]
        fetched = subprocess.run(fetch, cwd=debian, capture_output=True, text=True, timeout=300, check=False)
        if not any(debian.glob(f"{PACKAGE}_*.deb")):
            pytest.skip(f"the package {PACKAGE} can't be fetched: {fetched.stderr.strip()[-300:]}")
    package = max(debian.glob(f"{PACKAGE}_*.deb"))
    subprocess.run(["dpkg-deb", "--extract", package, folder / "unpacked"], check=True, timeout=300)
    (library,) = folder.glob("unpacked/usr/lib/*/faketime/libfaketimeMT.so.1")
    content = library.read_bytes()
    assert content.count(SLEEP) == 2, f"this {PACKAGE} is another one than the one that is known here"
    library.write_bytes(content.replace(SLEEP, NO_SLEEP, 1))  # the first is its name for others
    clock = SteppedClock(library, folder)
    clock.set_to(0)
    return clock


@contextmanager
def _watched(file: Path) -> Iterator[None]:
    over = threading.Event()

    def look() -> None:
        with file.open("w", buffering=1) as out:
            while not over.wait(EVERY_S):
                out.write(json.dumps((time.time(), time.monotonic())) + "\n")

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@pytest.hookimpl(wrapper=True)
def pytest_runtestloop() -> Iterator[None]:
    with _watched(Path(os.environ[SEEN])):
        return (yield)


if SEEN in os.environ:
    with suppress(KeyError):
        del os.environ["LD_PRELOAD"]  # it is loaded here, and for nobody who is started from now on
