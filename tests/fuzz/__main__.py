"""Feed the readers with what nobody would write: `python -m tests.fuzz [--seconds N] [--jobs N] [--keep] [READER ...]`.

The seconds are those of a processor, so that what else the machine does makes it longer and takes nothing from it.
It needs atheris (`make fuzz` installs it), which runs each reader in a process of its own. What crashes a reader, takes
10 seconds of a processor or 2 GiB is kept in `found/READER/`, and is a test from then on. `--keep` adds to
`corpus/READER/` what reached something new, small files first.
"""

import argparse
import gc
import math
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import count
from pathlib import Path
from typing import BinaryIO

ROOT = Path(__file__).parent
CORPUS_BYTES = 24 * 1024  # of one reader, in the repository, beside what was written by hand
_NAMED_BY_CONTENT = re.compile(r"[0-9a-f]{40}")  # what libFuzzer made
RSS_MIB, PROCESSOR_S, TIMEOUT_S, LONGEST_BYTES = 2048, 10, 120, 16 * 1024
ONE = "--one"
# No JSON and no YAML: changed as libFuzzer does.
BYTES = {"bundle", "kubelet", "lists", "process", "run-history", "signature", "text"}
INSTRUMENTED = ("chaos", "json", "yaml", "zipfile")


def main() -> int:
    """Exits with 1 where a reader crashed."""
    parser = argparse.ArgumentParser(prog="tests.fuzz", description=__doc__.split("\n", 1)[0] if __doc__ else "")
    parser.add_argument("readers", nargs="*", metavar="READER")
    parser.add_argument("--seconds", type=int, default=600, help="of a processor, for each reader")
    parser.add_argument("--jobs", type=int, default=1, help="how many readers at the same time")
    parser.add_argument("--keep", action="store_true")
    if sys.argv[1:2] == [ONE]:  # a process that `_libfuzzer` has started
        _fuzz(sys.argv[2], sys.argv[3:])
    options = parser.parse_args()
    known = sorted(each.name for each in (ROOT / "corpus").iterdir())  # to import the readers takes a while
    unknown = set(options.readers) - set(known)
    if unknown:
        parser.error(f"there is no reader {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    names = options.readers or known
    with ThreadPoolExecutor(options.jobs) as at_once:
        try:
            ended_well = list(at_once.map(partial(_run, seconds=options.seconds, keep=options.keep), names))
        except KeyboardInterrupt:  # those that run have had it too
            at_once.shutdown(cancel_futures=True)
            print("broken off: readers without a line above were not tried")
            return 130
    failed = [name for name, well in zip(names, ended_well, strict=True) if not well]
    print(f"crashed: {', '.join(failed)}" if failed else "no reader crashed")
    return 1 if failed else 0


def _run(reader: str, seconds: int, *, keep: bool) -> bool:
    """Whether it ended without a crash; its figures are told."""
    corpus, found = ROOT / "corpus" / reader, ROOT / "found" / reader
    corpus.mkdir(parents=True, exist_ok=True)
    found.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="kube-ordeal-fuzz-") as new:
        log = Path(new, "log")
        fresh = Path(new, "corpus")
        fresh.mkdir()
        limits = [f"-rss_limit_mb={RSS_MIB}", f"-timeout={TIMEOUT_S}", f"-report_slow_units={TIMEOUT_S}"]
        how = [f"-max_len={LONGEST_BYTES}", f"-artifact_prefix={found}/", "-print_final_stats=1", "-verbosity=1"]
        began, code, used_s = time.monotonic(), 0, 0.0
        with log.open("wb") as told:
            while code == 0 and used_s < seconds:  # libFuzzer's own limit goes by the clock, which others share
                limit = f"-max_total_time={math.ceil(seconds - used_s)}"
                code, more_s = _libfuzzer(reader, fresh, corpus, found, limit, *limits, *how, told=told)
                used_s += more_s
        said = log.read_text(errors="replace")
        ran = sum(map(int, re.findall(r"stat::number_of_executed_units:\s+(\d+)", said)))
        took = f"{used_s:.0f} s on a processor, in {time.monotonic() - began:.0f} s"
        print(f"{reader}: {took}, {ran} executions, exit code {code}", flush=True)
        if code != 0:
            print(said[-6000:], flush=True)
        if keep:
            _keep(reader, fresh, corpus)
    if not any(found.iterdir()):
        found.rmdir()
    return code == 0


def _keep(reader: str, fresh: Path, corpus: Path) -> None:
    """What covers more than the smaller ones do, as far as there is room."""
    with tempfile.TemporaryDirectory(prefix="kube-ordeal-fuzz-") as folder, Path(os.devnull).open("wb") as told:
        merged = Path(folder)
        _libfuzzer(reader, "-merge=1", merged, corpus, fresh, told=told)
        there = {path.name: path.read_bytes() for path in corpus.iterdir()}
        room = CORPUS_BYTES - sum(len(content) for name, content in there.items() if _NAMED_BY_CONTENT.fullmatch(name))
        for path in sorted(merged.iterdir(), key=lambda each: each.stat().st_size):
            if path.read_bytes() in there.values():
                continue
            room -= path.stat().st_size
            if room < 0:
                break
            shutil.copy(path, corpus / path.name)


def _libfuzzer(reader: str, *arguments: object, told: BinaryIO) -> tuple[int, float]:
    """The exit code of a process of its own, and its seconds on a processor, which others may have taken.

    What it keeps and what it leaves, also when it is killed, is removed.
    """
    with tempfile.TemporaryDirectory(prefix="kube-ordeal-fuzz-") as folder:
        own = dict.fromkeys(("TMPDIR", "XDG_CACHE_HOME", "XDG_STATE_HOME"), folder)
        command = [sys.executable, "-m", "tests.fuzz", ONE, reader, *map(str, arguments)]
        child = subprocess.Popen(command, stdout=told, stderr=told, env={**os.environ, **own})
        _, status, used = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        return child.returncode, used.ru_utime + used.ru_stime


def _fuzz(reader: str, arguments: list[str]) -> None:
    """Become libFuzzer; does not return."""
    import atheris  # noqa: PLC0415

    with atheris.instrument_imports(include=list(INSTRUMENTED)):
        from tests.fuzz import readers  # noqa: PLC0415
        from tests.fuzz.mutate import mutated  # noqa: PLC0415

    def mutator(data: bytes, longest: int, seed: int) -> bytes:
        rng = random.Random(seed)
        made = mutated(data, rng) if rng.random() < 0.6 else b""
        return made if made and len(made) <= longest else bytes(atheris.Mutate(data, longest))

    def fuzz(data: bytes) -> None:
        began = time.process_time()
        readers.fuzz(reader, data, folder)
        if time.process_time() - began > PROCESSOR_S:
            raise AssertionError(f"it took more than {PROCESSOR_S} s")
        if next(times) % 100 == 0:  # reading a recording sets the collector back
            gc.collect()

    times = count(1)
    structured = {} if reader in BYTES else {"custom_mutator": mutator}
    folder = Path(os.environ["TMPDIR"])
    atheris.Setup([sys.argv[0], *arguments], fuzz, **structured)
    atheris.Fuzz()


if __name__ == "__main__":
    sys.exit(main())
