"""How much of what plain inserts reach the checking client sustains, on the same server, by turns.

python -m tests.bench.bench_mysql_client        (as root; the server is a container of our image)

Plain inserts are mysqlslap's (mariadb-client), where it is on the PATH; else those of a loop that records nothing.
"""

import shutil
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import yaml

from chaos.basics.waiting import eventually, hold
from chaos.hosts import workload_images
from chaos.hosts.command import run
from chaos.hosts.engine import require
from chaos.record.history import History
from chaos.record.records import Writes
from chaos.results.results import machine_facts
from chaos.subjects.mysql.workload import PORT, TABLES, USER, MySQL
from chaos.writers.client import Writing, ask

NAME, PASSWORD = "kube-ordeal-bench-mysql", "bench"
CLIENTS = 8
ROUNDS, FOR_S = 3, 8.0
TO_REACH = 0.7
STATEMENTS = [
    *TABLES,
    "CREATE TABLE ordeal.plain (id BIGINT AUTO_INCREMENT PRIMARY KEY, client VARCHAR(32), number BIGINT)",
]
PLAIN = "INSERT INTO ordeal.plain (client, number) VALUES ('c1', 1)"


class Server:
    """A container's network, entered from the host."""

    def __init__(self, pid: int) -> None:
        self._pid = pid

    def in_network_of(self, _node: str, argv: Sequence[str]) -> list[str]:
        return ["nsenter", f"--net=/proc/{self._pid}/ns/net", "--", *argv]

    def addresses(self, _node: str) -> tuple[str, ...]:
        return ("127.0.0.1",)


LOGIN = {"user": USER, "password": PASSWORD, "port": PORT}


def main() -> int:
    print("machine: " + ", ".join(f"{k} {v}" for k, v in machine_facts().items()))
    slap = shutil.which("mysqlslap") or shutil.which("mariadb-slap")
    print(f"plain inserts by {slap or 'a loop of ours (there is no mysqlslap)'}, {CLIENTS} connections")
    with server() as there:
        ask(there, "", "mysql", {**LOGIN, "hosts": {"server": "127.0.0.1"}, "statements": STATEMENTS})
        plain, checked = [], []
        for number in range(ROUNDS):
            plain.append(by_slap(there, slap) if slap else by_loop(there))
            checked.append(by_checking_client(there, number))
            print(f"round {number + 1}: plain {plain[-1]:.0f}/s, checking {checked[-1]:.0f}/s")
    part = statistics.median(checked) / statistics.median(plain)
    print(f"the checking client sustains {100 * part:.0f} % of plain inserts (to reach: {100 * TO_REACH:.0f} %)")
    return 0 if part >= TO_REACH else 1


def by_slap(there: Server, slap: str) -> float:
    """Inserts a second of mysqlslap: as many as take some seconds."""
    argv = [
        slap, "--no-defaults", "--host=127.0.0.1", f"--port={PORT}", f"--user={USER}", f"--password={PASSWORD}",
        "--protocol=tcp", "--create-schema=ordeal", "--no-drop", f"--query={PLAIN}", f"--concurrency={CLIENTS}",
    ]  # fmt: skip
    queries, took_s = 400, 0.0
    while took_s < FOR_S / 2:
        queries = queries * 2 if took_s < FOR_S / 20 else int(queries * FOR_S / took_s)
        queries -= queries % CLIENTS
        began = time.monotonic()
        run(there.in_network_of("", [*argv, f"--number-of-queries={queries}"]), timeout_s=300)
        took_s = time.monotonic() - began
    return queries / took_s


def by_loop(there: Server) -> float:
    """Inserts a second of connections that only insert."""
    script = (
        "import pymysql, sys, threading, time\n"
        "counts, end = [0] * int(sys.argv[1]), time.monotonic() + float(sys.argv[2])\n"
        "def insert(n):\n"
        f"    c = pymysql.connect(host='127.0.0.1', port={PORT}, user='{USER}', password='{PASSWORD}')\n"
        "    c.autocommit(True)\n"
        "    while time.monotonic() < end:\n"
        f'        c.query("{PLAIN}")\n'
        "        counts[n] += 1\n"
        "threads = [threading.Thread(target=insert, args=(n,)) for n in range(len(counts))]\n"
        "[t.start() for t in threads]; [t.join() for t in threads]; print(sum(counts))\n"
    )
    argv = [sys.executable, "-c", script, str(CLIENTS), str(FOR_S)]
    return int(run(there.in_network_of("", argv), timeout_s=300).out) / FOR_S


def by_checking_client(there: Server, number: int) -> float:
    """Acknowledged rows a second, as they are recorded."""
    delete = ["DELETE FROM ordeal.writes"]
    ask(there, "", "mysql", {**LOGIN, "hosts": {"server": "127.0.0.1"}, "statements": delete})
    history = History()
    settings = {**LOGIN, "host": "127.0.0.1", "clients": CLIENTS, "body_bytes": 0, "per_s": 0, "timeout_s": 10.0}
    with Writing(there, history, "", f"mysql-{number}", "mysql", settings):
        hold(FOR_S)
    writes = history.of(Writes)
    assert all(w.ok for w in writes), next(w.error for w in writes if not w.ok)
    return sum(w.count for w in writes) / (max(w.until for w in writes) - min(w.at for w in writes))


@contextmanager
def server() -> Iterator[Server]:
    """A server in a container, started by the manifest's own script."""
    engine = require()
    image = workload_images.choose("mysql", report=print)
    manifests = yaml.safe_load_all(MySQL(image).manifest("bench", "bench"))
    start = next(m["data"]["start"] for m in manifests if m["kind"] == "ConfigMap")
    with TemporaryDirectory() as folder:
        script, data = Path(folder) / "start", Path(folder) / "data"
        script.write_text(start)
        data.mkdir()
        for path in (Path(folder), data):
            path.chmod(0o777)
        engine.docker(
            "run", "--detach", "--rm", "--name", NAME, "--network=none", "--user=999:999", "--env=POD_NAME=mysql-0",
            f"--env=PASSWORD={PASSWORD}", f"--volume={script}:/ordeal/start:ro", f"--volume={data}:/var/lib/ordeal",
            image, "sh", "/ordeal/start",
        )  # fmt: skip
        try:
            pid = int(engine.docker("inspect", "--format", "{{.State.Pid}}", NAME).out)
            there = Server(pid)
            one = {**LOGIN, "hosts": {"server": "127.0.0.1"}, "statements": ["SELECT 1"]}
            eventually(lambda: ask(there, "", "mysql", one), within_s=90, what="the server to answer", every_s=1.0)
            yield there
        finally:
            engine.docker("rm", "--force", NAME, check=False)


if __name__ == "__main__":
    sys.exit(main())
