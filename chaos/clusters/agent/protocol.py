"""What a run and the agent on a node say to each other: one request, one answer, on a connection that TLS keeps.

Each message is four bytes with its length, most significant first, and then MessagePack of one of the structs below.
Times are seconds. Whatever a node's own clock is turned to, deadlines go by CLOCK_BOOTTIME, which counts sleep too.
"""

import socket
from typing import Any

import msgspec

from chaos.errors import OrdealError
from chaos.hosts.command import CommandError, Output

VERSION = 1  # raise it with each change of a message: an agent of another version is refused
LENGTH_BYTES = 4
MOST_BYTES = 32 << 20  # of one message
MOST_CHUNK = 1 << 20  # of a program's output, in one answer
UNREAD_S = 120.0  # so long a way may be cut without losing what a program says


class Hello(msgspec.Struct, frozen=True, tag=True):
    """Who are you, and what is armed?"""


class Execute(msgspec.Struct, frozen=True, tag=True):
    """Run a program to its end. `inside`: with the node's own root and programs, as `nsenter` into its first process;
    otherwise one of the agent's programs, in the node's network.
    """

    argv: tuple[str, ...]
    inside: bool
    timeout_s: float
    stdin: bytes | None = None


class Start(msgspec.Struct, frozen=True, tag=True):
    """Start a program that goes on. One that nobody reads for UNREAD_S is ended."""

    argv: tuple[str, ...]
    inside: bool


class Feed(msgspec.Struct, frozen=True, tag=True):
    """Hand a program something to read; `closed`: there is no more. `at`: what was fed before, in bytes, so that a
    request that is sent again is not fed twice.
    """

    process: int
    at: int
    data: bytes
    closed: bool = False


class Read(msgspec.Struct, frozen=True, tag=True):
    """What a program has said from these positions on, in bytes; waits up to `wait_s` for anything new."""

    process: int
    out: int
    err: int
    wait_s: float


class End(msgspec.Struct, frozen=True, tag=True):
    """End a program, and forget what it said."""

    process: int


class Arm(msgspec.Struct, frozen=True, tag=True):
    """Undo this by yourself, `within_s` from now, unless Renew comes before. `plan`: what the fault saved, as JSON."""

    fault: str
    plan: bytes
    within_s: float


class Renew(msgspec.Struct, frozen=True, tag=True):
    """The run lives, and these entries have `within_s` from now."""

    within_s: float
    entries: tuple[int, ...]


class Disarm(msgspec.Struct, frozen=True, tag=True):
    """The run has undone it."""

    entry: int


class Leave(msgspec.Struct, frozen=True, tag=True):
    """Take yourself off the node. Refused while something is armed."""


Request = Hello | Execute | Start | Feed | Read | End | Arm | Renew | Disarm | Leave


class ArmedEntry(msgspec.Struct, frozen=True):
    """What an agent is to undo. `left_s`: until it does, below 0 where it has begun; `error`: why it could not yet."""

    entry: int
    fault: str
    left_s: float
    error: str = ""


class Me(msgspec.Struct, frozen=True, tag=True):
    """An agent. `monotonic_s`: the node's CLOCK_MONOTONIC in this moment; `boot`: the kernel's boot id.

    `lapsed`: entries that it has undone by itself.
    """

    version: int
    run: str
    node: str
    boot: str
    monotonic_s: float
    armed: tuple[ArmedEntry, ...]
    lapsed: tuple[int, ...]


class Ended(msgspec.Struct, frozen=True, tag=True):
    """A program that ran to its end, or was ended because it was `late`."""

    code: int
    out: bytes
    err: bytes
    late: bool = False


class Number(msgspec.Struct, frozen=True, tag=True):
    """The number of a process, or of an armed entry."""

    value: int


class Chunk(msgspec.Struct, frozen=True, tag=True):
    """What a program said. `code`: its exit code, once it has ended and all is read."""

    out: bytes
    err: bytes
    code: int | None = None


class Done(msgspec.Struct, frozen=True, tag=True):
    """It is done. `lapsed`: of what Renew named, what is not armed any more."""

    lapsed: tuple[int, ...] = ()


class Refused(msgspec.Struct, frozen=True, tag=True):
    """It is not done; why, in a sentence."""

    why: str


Answer = Me | Ended | Number | Chunk | Done | Refused


def output_of(asked: Execute, said: Ended, *, check: bool, where: str = "") -> Output:
    """What a program that was executed has said. Raises CommandError where it was late or, with `check`, exited with
    another code than 0; `where` ends what it did.
    """
    out, err = said.out.decode(errors="replace"), said.err.decode(errors="replace")
    if said.late:
        raise CommandError(asked.argv, f"did not end within {asked.timeout_s:g} s{where}", err or out)
    if check and said.code != 0:
        raise CommandError(asked.argv, f"exited with {said.code}{where}", err.strip() or out)
    return Output(said.code, out, err)


def send(connection: socket.socket, message: msgspec.Struct) -> None:
    """Raises OSError; OrdealError for a message that nobody would take."""
    data = msgspec.msgpack.encode(message)
    if len(data) > MOST_BYTES:
        raise OrdealError(f"a message of {len(data)} bytes is too long for an agent: {MOST_BYTES} are the most")
    connection.sendall(len(data).to_bytes(LENGTH_BYTES, "big") + data)


def receive(connection: socket.socket, of: Any) -> Any:
    """The next message, one of the types in `of`; None where the other side has ended the connection between two.

    Raises OSError, EOFError; msgspec.ValidationError where it is none of them; ValueError where it is too long.
    """
    first = connection.recv(LENGTH_BYTES)
    if not first:
        return None
    size = int.from_bytes(_whole(connection, LENGTH_BYTES, first), "big")
    if size > MOST_BYTES:
        raise ValueError(f"a message of {size} bytes is announced, and {MOST_BYTES} are the most")
    return msgspec.msgpack.decode(_whole(connection, size), type=of)


def _whole(connection: socket.socket, size: int, begun: bytes = b"") -> bytes:
    data = bytearray(begun)
    while len(data) < size:
        more = connection.recv(min(size - len(data), 1 << 16))
        if not more:
            raise EOFError("the other side ended the connection in the middle of a message")
        data += more
    return bytes(data)
