"""A MySQL client as a process of its own: it writes numbered rows, asks members, or watches them.

`python -m chaos.writers.mysql write|ask|clock|watch|group`, settings as one JSON line on standard input:

write: {"host", "port", "user", "password", "clients", "body_bytes", "per_s", "timeout_s"}. Each of `clients`
connections inserts rows (client, number) one by one. With a body, each transaction also overwrites the client's one
body of so many bytes: the binary log takes the old one and the new one, and the data grows by a row alone. `per_s`:
transactions a second over all clients, 0: as many as can be. One that is not answered within `timeout_s` is killed.
Says the lines of chaos.writers.batches.

ask: {"hosts": {name: address}, "port", "user", "password", "statements"}. Says {name: [rows of each statement]}.

clock: {"hosts", "port", "user", "password"}. Says {name: seconds that its clock is ahead of this one}.

watch: {"hosts", "port", "user", "password", "every_s", "source"}. Says a line a round and member: {"member", "at",
"error", "running", "why", "offset_s"}: whether it replicates (null for the source), and its clock against this one.

group: as watch, without "source", of a Galera group's members: {"member", "at", "error", "component", "size", "ready",
"state"}, the last four as the member says it, null where there is an error.
"""

import json
import os
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pymysql
from pymysql.constants import CLIENT

from chaos.writers.batches import Batches

LOOKS = 5
PAUSE_S = 0.2  # after a write that failed
TIMEOUT_S = 5.0
GROUP = {
    "component": "wsrep_cluster_status",
    "size": "wsrep_cluster_size",
    "ready": "wsrep_ready",
    "state": "wsrep_local_state_comment",
}
# A body is in pieces that a row holds within its page (InnoDB keeps up to half a page of 16 KiB there). What is kept in
# pages of its own is not given back by 8.0.15 when it is overwritten: the table grew by every body ever written.
PIECE_BYTES = 7168


def connect(settings: dict[str, Any], host: str, *, timeout_s: float = TIMEOUT_S) -> "pymysql.Connection[Any]":
    """A connection whose every wait ends."""
    return pymysql.connect(
        host=host,
        port=int(settings["port"]),
        user=settings["user"],
        password=settings["password"],
        autocommit=True,
        connect_timeout=max(1, round(timeout_s)),
        read_timeout=timeout_s,
        write_timeout=timeout_s,
        client_flag=CLIENT.MULTI_STATEMENTS,
    )


class Writer(threading.Thread):
    """One client: its rows have the numbers 1, 2, 3 ..., each is tried once."""

    def __init__(self, name: str, settings: dict[str, Any], stop: threading.Event, number: int) -> None:
        super().__init__(name=name)
        self._settings, self._ending, self._place = settings, stop, number
        self._connection: pymysql.Connection[Any] | None = None
        self._timeout_s = float(settings.get("timeout_s", TIMEOUT_S))
        self._body_bytes = int(settings.get("body_bytes", 0))

    def run(self) -> None:
        """Write until the end is asked for; each write is told of by `Batches`."""
        batches = Batches(self.name)
        clients, per_s = int(self._settings["clients"]), float(self._settings.get("per_s", 0.0))
        every_s = clients / per_s if per_s else 0.0
        due = time.monotonic() + every_s * self._place / clients
        number = 0
        while not self._ending.is_set():
            if every_s:
                self._ending.wait(max(0.0, due - time.monotonic()))
                due = max(due + every_s, time.monotonic() - 1.0)  # a second that was lost is made up for, no more
            number += 1
            start = time.monotonic()
            error = self._write(number)
            batches.add(number, ok=not error, start=start, end=time.monotonic(), error=error)
            if error:
                self._ending.wait(PAUSE_S)
        batches.flush()
        self._let_go()

    def _write(self, number: int) -> str:
        """Write one row; empty where its commit returned, else why it may not be there."""
        try:
            if self._connection is None:
                self._connection = connect(self._settings, self._settings["host"], timeout_s=self._timeout_s)
            with self._connection.cursor() as cursor:
                cursor.execute(self._statement(number))
                while cursor.nextset():  # the commit is the last of them
                    pass
        except (pymysql.MySQLError, OSError) as error:
            self._kill()
            self._let_go()
            return str(error) or type(error).__name__
        return ""

    def _kill(self) -> None:
        """Kill what was not answered in time, as connectors do at their query timeout: it may wait for ever (a full
        disk), holds its locks as long, and nobody wants it any more.
        """
        abandoned = self._connection
        if abandoned is None or self._ending.is_set():
            return
        with suppress(pymysql.MySQLError, OSError), connect(self._settings, self._settings["host"]) as another:
            number: int = abandoned.thread_id()  # type: ignore[no-untyped-call]
            another.query(f"KILL {number}")

    def _statement(self, number: int) -> str:
        insert = f"INSERT INTO ordeal.writes VALUES ('{self.name}', {number})"  # noqa: S608  (our own names)
        if not self._body_bytes:
            return insert
        letter = chr(97 + number % 26)
        pieces = [min(PIECE_BYTES, self._body_bytes - at) for at in range(0, self._body_bytes, PIECE_BYTES)]
        rows = ", ".join(f"('{self.name}', {n}, REPEAT('{letter}', {size}))" for n, size in enumerate(pieces))
        return f"BEGIN; REPLACE INTO ordeal.bodies VALUES {rows}; {insert}; COMMIT"  # noqa: S608

    def _let_go(self) -> None:
        if self._connection is not None:
            with suppress(Exception):
                self._connection.close()
            self._connection = None


def write(settings: dict[str, Any]) -> None:
    """Write until standard input ends."""
    stop = threading.Event()
    count = int(settings["clients"])
    writers = [Writer(f"c{n + 1}", settings, stop, n) for n in range(count)]
    for writer in writers:
        writer.start()
    sys.stdin.read()
    stop.set()
    for writer in writers:
        writer.join()


def ask(settings: dict[str, Any]) -> None:
    """Run the statements on each host; the first that fails ends it."""
    said: dict[str, list[Any]] = {}
    for name, host in settings["hosts"].items():
        rows: list[Any] = []
        statement = ""
        try:
            connection = connect(settings, host, timeout_s=30.0)
            with connection, connection.cursor() as cursor:
                for statement in settings["statements"]:
                    cursor.execute(statement)
                    rows.append(list(cursor.fetchall()))
        except (pymysql.MySQLError, OSError) as error:
            sys.exit(f"{name} ({host}) does not do `{_without_password(statement)}`: {error}")
        said[name] = rows
    sys.stdout.write(json.dumps(said, default=str))


def clock(settings: dict[str, Any]) -> None:
    """Compare each host's clock with this one; of several looks the shortest is the most exact."""
    said: dict[str, float] = {}
    for name, host in settings["hosts"].items():
        try:
            connection = connect(settings, host)
            with connection, connection.cursor(pymysql.cursors.DictCursor) as cursor:
                said[name] = min(_clock_of(cursor) for _ in range(LOOKS))[1]
        except (pymysql.MySQLError, OSError) as error:
            sys.exit(f"{name} ({host}) does not tell its time: {error}")
    sys.stdout.write(json.dumps(said))


def _clock_of(cursor: pymysql.cursors.DictCursor) -> tuple[float, float]:
    """How long a look took, and by how much the server's clock was ahead in the middle of it, in seconds."""
    before, began = time.time(), time.monotonic()
    cursor.execute("SELECT UNIX_TIMESTAMP(SYSDATE(6)) AS now")
    row = cursor.fetchone() or {}
    took_s = time.monotonic() - began
    return took_s, float(row["now"]) - (before + took_s / 2)


def watch(settings: dict[str, Any]) -> None:
    """Look every so often whether each member follows the source, until standard input ends."""
    _look_at_each(settings, lambda connection, name: _seen(connection, follows=name != settings["source"]))


def group(settings: dict[str, Any]) -> None:
    """Look every so often at what each member of a group says of it, until standard input ends."""
    _look_at_each(settings, lambda connection, _: _group_seen(connection))


def _look_at_each(settings: dict[str, Any], seen: "Callable[[pymysql.Connection[Any], str], dict[str, Any]]") -> None:
    """Each member in a thread of its own."""
    stop = threading.Event()
    lock = threading.Lock()

    def look(name: str, host: str) -> None:
        connection: pymysql.Connection[Any] | None = None
        while not stop.is_set():
            line: dict[str, Any] = {"member": name, "at": time.monotonic(), "error": ""}
            try:
                connection = connection or connect(settings, host)
                line |= seen(connection, name)
            except (pymysql.MySQLError, OSError) as error:
                line["error"] = str(error)[:200] or type(error).__name__
                if connection is not None:
                    with suppress(Exception):
                        connection.close()
                connection = None
            with lock:
                os.write(sys.stdout.fileno(), json.dumps(line).encode() + b"\n")
            stop.wait(float(settings["every_s"]))

    threads = [threading.Thread(target=look, args=pair) for pair in settings["hosts"].items()]
    for thread in threads:
        thread.start()
    sys.stdin.read()
    stop.set()
    for thread in threads:
        thread.join()


def _seen(connection: "pymysql.Connection[Any]", *, follows: bool) -> dict[str, Any]:
    with connection.cursor(pymysql.cursors.DictCursor) as cursor:
        offset_s = _clock_of(cursor)[1]
        if not follows:
            return {"offset_s": round(offset_s, 3), "running": None, "why": ""}
        cursor.execute("SHOW SLAVE STATUS")
        status = cursor.fetchone() or {}
    io, sql = status.get("Slave_IO_Running", "No"), status.get("Slave_SQL_Running", "No")
    why = status.get("Last_SQL_Error") or status.get("Last_IO_Error") or ""
    running = io == "Yes" and sql == "Yes"
    return {"offset_s": round(offset_s, 3), "running": running, "why": "" if running else f"IO {io}, SQL {sql}: {why}"}


def _group_seen(connection: "pymysql.Connection[Any]") -> dict[str, Any]:
    """A member that is out of its group answers this too, while it refuses everything else."""
    names = ", ".join(f"'{name}'" for name in GROUP.values())
    with connection.cursor() as cursor:
        cursor.execute(f"SHOW GLOBAL STATUS WHERE Variable_name IN ({names})")
        said = dict(cursor.fetchall())
    found = {key: said[name] for key, name in GROUP.items()}
    return found | {"size": int(found["size"]), "ready": found["ready"] == "ON"}


def _without_password(statement: str) -> str:
    return statement.split("PASSWORD", maxsplit=1)[0].strip()[:120]


def main(argv: list[str]) -> int:
    """The command."""
    commands = {"write": write, "ask": ask, "clock": clock, "watch": watch, "group": group}
    if len(argv) != 1 or argv[0] not in commands:
        sys.stderr.write(f"usage: python -m chaos.writers.mysql {'|'.join(commands)}\n")
        return 2
    commands[argv[0]](json.loads(sys.stdin.readline()))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
