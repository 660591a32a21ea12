"""Whether the checking Redis client sustains what redis-benchmark does: the same server, side by side.

python -m tests.bench.bench_redis_client [ROUNDS [SECONDS]]

Both with the same connections and the same pipeline, by turns; redis-py once beside them, to say why it is not used.
"""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import redis

from chaos.basics.waiting import eventually
from chaos.hosts import workload_images
from chaos.hosts.command import run
from chaos.hosts.engine import Engine, require
from chaos.results.results import machine_facts

GOAL = 0.7
PORT = 16_399
REQUESTS = 60_000
CASES = ((1, 1), (1, 16), (4, 16), (50, 1))  # connections, pipeline; the suite's is (1, 16) for each of three servers


def main(rounds: int, for_s: float) -> int:
    """Print each case's figures; 0 where the goal was reached in all."""
    print("machine: " + ", ".join(f"{k} {v}" for k, v in machine_facts().items()))
    print("connections pipeline  redis-benchmark/s  checking client/s   part  redis-py/s")
    reached = True
    with server(require()) as root:
        for connections, pipeline in CASES:
            parts, theirs, ours = [], [], []
            for _ in range(rounds):
                theirs.append(benchmark(root, connections, pipeline))
                ours.append(checking(connections, pipeline, for_s))
                parts.append(ours[-1] / theirs[-1])
            python = with_redis_py(pipeline, for_s) if connections == 1 else None
            beside = f"{python:>11.0f}" if python else ""
            print(
                f"{connections:>11} {pipeline:>8} {median(theirs):>18.0f} {median(ours):>18.0f} "
                f"{median(parts):>6.2f} {beside}"
            )
            reached = reached and median(parts) >= GOAL
    print(f"goal, {GOAL:.0%} of redis-benchmark: {'reached' if reached else 'MISSED'}")
    return 0 if reached else 1


@contextmanager
def server(engine: Engine) -> Iterator[Path]:
    """A Redis on this machine's loopback; yields the root file system in which redis-benchmark is too.

    Plain processes, no containers: a container has a share of the processor of its own, and that would be compared.
    """
    with TemporaryDirectory() as directory:
        root = Path(directory)
        container = engine.docker("create", workload_images.choose("redis", engine=engine), "redis-server").out.strip()
        try:
            engine.docker("export", "--output", str(root / "image.tar"), container)
        finally:
            engine.docker("rm", container)
        run(["tar", "-C", directory, "-xf", str(root / "image.tar")])
        argv = ["redis-server", "--port", str(PORT), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        with subprocess.Popen(["chroot", directory, *argv], stdout=subprocess.DEVNULL) as child:
            try:
                eventually(lambda: client().ping(), within_s=30, what="the server to answer")
                yield root
            finally:
                child.terminate()


def benchmark(root: Path, connections: int, pipeline: int) -> float:
    """Requests a second of `redis-benchmark -t set`."""
    requests = REQUESTS * (1 if pipeline == 1 else 8)
    argv = ["redis-benchmark", "-p", str(PORT), "-t", "set", "-c", str(connections), "-P", str(pipeline)]
    said = run(["chroot", str(root), *argv, "-n", str(requests), "-r", "10000", "--csv"], timeout_s=300).out
    (line,) = [each for each in said.splitlines() if each.startswith('"SET"')]
    return float(line.split(",")[1].strip('"'))


def checking(connections: int, pipeline: int, for_s: float) -> float:
    """Acknowledged writes a second of our client, by what it says itself; the first second is left out."""
    client().flushall()
    settings = {
        "clients": [{"name": f"c{n}", "tag": f"s{n}"} for n in range(connections)],
        "members": [["127.0.0.1", PORT]],
        "pipeline": pipeline,
        "timeout_s": 5.0,
    }
    child = subprocess.Popen(
        [sys.executable, "-I", "-m", "chaos.writers.redis", "write"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdin is not None
    assert child.stdout is not None
    out, lines = child.stdout, list[str]()
    reader = threading.Thread(target=lambda: lines.extend(out))
    reader.start()
    child.stdin.write(json.dumps(settings) + "\n")
    child.stdin.flush()
    eventually(lambda: lines, within_s=20, what="the first write")
    time.sleep(for_s + 1.0)  # how long is measured
    child.stdin.close()
    reader.join()
    child.wait()
    said = [json.loads(line) for line in lines]
    assert all(s["ok"] for s in said), next(s for s in said if not s["ok"])
    begin = min(s["start"] for s in said) + 1.0
    counted = [s for s in said if s["start"] >= begin]
    span_s = max(s["start"] + s["took_s"] for s in counted) - min(s["start"] for s in counted)
    return float(sum(s["last"] - s["first"] + 1 for s in counted) / span_s)


def with_redis_py(pipeline: int, for_s: float) -> float:
    """Writes a second of redis-py on one connection, with the same pipeline."""
    server, number, began = client(), 0, time.monotonic()
    while time.monotonic() - began < for_s:
        pipe = server.pipeline(transaction=False)
        for _ in range(pipeline):
            pipe.setbit("{s0}:0", number % 65536, 1)
            number += 1
        pipe.execute()
    return number / (time.monotonic() - began)


def client() -> "redis.Redis":
    """A redis-py client."""
    return redis.Redis(host="127.0.0.1", port=PORT)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 3, float(sys.argv[2]) if len(sys.argv) > 2 else 4.0))
