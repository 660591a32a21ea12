"""The MySQL client against a fake server at pymysql's boundary: what counts as acknowledged, and what is killed."""

import re
import threading
from typing import Any

import pymysql
import pytest

from chaos.writers import mysql

SETTINGS: dict[str, Any] = {"host": "db", "port": 3306, "user": "u", "password": "p", "clients": 1, "timeout_s": 1.0}


class Server:
    """Answers each statement of a request in turn; one that is told to hang is not answered."""

    def __init__(self, *, hangs_on: str = "", refuses: str = "") -> None:
        self.done: list[str] = []
        self.hangs_on, self.refuses, self.connections = hangs_on, refuses, 0

    def connect(self, *_: Any, **__: Any) -> "Connection":
        self.connections += 1
        return Connection(self, self.connections)


class Connection:
    def __init__(self, server: Server, number: int) -> None:
        self._server, self._number = server, number
        self._left: list[str] = []

    def __enter__(self) -> "Connection":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def cursor(self) -> "Connection":
        return self

    def thread_id(self) -> int:
        return self._number

    def execute(self, statements: str) -> None:
        self._left = statements.split("; ")
        self.nextset()

    query = execute

    def nextset(self) -> bool:
        if not self._left:
            return False
        statement = self._left.pop(0)
        if self._server.hangs_on and statement.startswith(self._server.hangs_on):
            raise pymysql.OperationalError(2013, "Lost connection to MySQL server during query (timed out)")
        if self._server.refuses and statement.startswith(self._server.refuses):
            raise pymysql.OperationalError(1114, "The table is full")
        self._server.done.append(statement.split("(")[0])
        return True

    def close(self) -> None:
        self._left = []


def written(monkeypatch: pytest.MonkeyPatch, server: Server, body_bytes: int) -> str:
    monkeypatch.setattr(mysql, "connect", server.connect)
    return mysql.Writer("c1", {**SETTINGS, "body_bytes": body_bytes}, threading.Event(), 0)._write(7)


def test_one_statement_and_several_are_acknowledged_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    assert written(monkeypatch, one := Server(), 0) == ""
    assert one.done == ["INSERT INTO ordeal.writes VALUES "]
    assert written(monkeypatch, several := Server(), 100) == ""
    assert several.done == [
        "BEGIN",
        "REPLACE INTO ordeal.bodies VALUES ",
        "INSERT INTO ordeal.writes VALUES ",
        "COMMIT",
    ]


def test_a_body_is_in_pieces_that_fit_into_a_page() -> None:
    def sizes(body_bytes: int) -> list[int]:
        writer = mysql.Writer("c1", {**SETTINGS, "body_bytes": body_bytes}, threading.Event(), 0)
        return [int(size) for size in re.findall(r"REPEAT\('h', (\d+)\)", writer._statement(7))]

    assert sizes(100) == [100]
    assert sizes(mysql.PIECE_BYTES) == [mysql.PIECE_BYTES]
    assert sizes(128 * 1024) == [7168] * 18 + [2048]


@pytest.mark.parametrize("statement", ["BEGIN", "REPLACE", "INSERT", "COMMIT"])
def test_what_fails_at_any_of_its_statements_is_not_acknowledged(
    monkeypatch: pytest.MonkeyPatch, statement: str
) -> None:
    assert "full" in written(monkeypatch, Server(refuses=statement), 100)


def test_a_commit_that_is_not_answered_is_killed_on_another_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(hangs_on="COMMIT")
    assert "timed out" in written(monkeypatch, server, 100)
    assert server.done[-1] == "KILL 1"
    assert server.connections == 2


class Member:
    """A member of a group that is asked for its state."""

    def __init__(self, **said: str) -> None:
        self._said = said
        self.asked = ""

    def cursor(self) -> "Member":
        return self

    def __enter__(self) -> "Member":
        return self

    def __exit__(self, *_: object) -> None: ...

    def execute(self, statement: str) -> None:
        self.asked = statement

    def fetchall(self) -> list[tuple[str, str]]:
        return list(self._said.items())


def test_what_a_member_says_of_its_group() -> None:
    member: Any = Member(
        wsrep_cluster_status="non-Primary",
        wsrep_cluster_size="1",
        wsrep_ready="OFF",
        wsrep_local_state_comment="Initialized",
    )
    said = {"component": "non-Primary", "size": 1, "ready": False, "state": "Initialized"}
    assert mysql._group_seen(member) == said
    assert member.asked.startswith("SHOW "), "all else is refused by a member that is out of its group"
    in_it: Any = Member(
        wsrep_cluster_status="Primary", wsrep_cluster_size="3", wsrep_ready="ON", wsrep_local_state_comment="Synced"
    )
    assert mysql._group_seen(in_it) == {"component": "Primary", "size": 3, "ready": True, "state": "Synced"}


def test_a_password_is_not_told() -> None:
    told = mysql._without_password("CHANGE MASTER TO MASTER_HOST='x', MASTER_PASSWORD='hunter2', MASTER_PORT=1")
    assert "hunter2" not in told


def test_an_unknown_command_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert mysql.main(["drop"]) == 2
    assert "write|ask|clock|watch|group" in capsys.readouterr().err
