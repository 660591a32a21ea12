"""The way to one node's agent: asked in a connection that is kept, and made anew where it broke."""

import socket
import ssl
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar

import msgspec

from chaos.basics.files import place
from chaos.clusters.agent import keys, protocol
from chaos.errors import OrdealError

CONNECT_WITHIN_S, HANDSHAKE_WITHIN_S, ANSWER_WITHIN_S = 3.0, 10.0, 20.0  # a machine may be slow, and not away
FRESH_S = 30.0  # an agent ends a connection that is silent for a minute
KNOWN = "agents.json"  # in the folder of a run's agents, beside its key

T = TypeVar("T", bound=protocol.Me | protocol.Ended | protocol.Number | protocol.Chunk | protocol.Done)


class UnreachedError(OrdealError):
    """The agent of a node gives no answer: the way to it is cut, or it is gone."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where a node's agent listens, and the certificate by which it is known."""

    host: str
    port: int
    certificate: str


class Channel:
    """Asks one agent, for all threads; each has a connection of its own. Close it at the end."""

    def __init__(self, folder: Path, node: str, address: Address) -> None:
        """`folder` has the run's key. Nothing is sent yet."""
        self._folder, self._node, self._address = folder, node, address
        self._mine = threading.local()
        self._lock, self._all, self._life = threading.Lock(), set[ssl.SSLSocket](), 0

    def ask(self, request: protocol.Request, of: type[T], within_s: float = ANSWER_WITHIN_S) -> T:
        """The answer. A request is sent once: one that got no answer may have been obeyed.

        Raises UnreachedError where none comes in time; OrdealError with what the agent refuses.
        """
        try:
            return self._answer(self._kept() or self._connected(), request, of, within_s)
        except (OSError, EOFError, ValueError) as error:
            self._drop()
            at = f"{self._address.host}, port {self._address.port}"
            why = str(error) or type(error).__name__
            raise UnreachedError(f"the agent of node {self._node} ({at}) gives no answer: {why}") from error
        except OrdealError:
            raise
        except BaseException:  # an interrupt: what comes now on this connection is the answer to this request
            self._drop()
            raise

    def start_anew(self) -> None:
        """The agent was ended unheard, with its node: from now on nobody asks by a connection to it as it was."""
        with self._lock:
            self._life += 1

    def close(self) -> None:
        """End the connections of all threads."""
        with self._lock:
            connections = tuple(self._all)
        for each in connections:
            with suppress(OSError):
                each.close()

    def _answer(self, connection: ssl.SSLSocket, request: protocol.Request, of: type[T], within_s: float) -> T:
        connection.settimeout(within_s)
        protocol.send(connection, request)
        self._mine.used_at = time.monotonic()
        try:
            answer = protocol.receive(connection, of | protocol.Refused)
        except (msgspec.MsgspecError, ValueError) as error:
            raise OSError(f"what it says is no answer ({error})") from error
        if answer is None:
            raise EOFError("it has ended the connection")
        if isinstance(answer, protocol.Refused):
            raise OrdealError(f"the agent of node {self._node}: {answer.why}")
        assert isinstance(answer, of)
        return answer

    def _connected(self) -> ssl.SSLSocket:
        context, life = keys.client(self._folder, self._address.certificate), self._life
        plain = socket.create_connection((self._address.host, self._address.port), CONNECT_WITHIN_S)
        try:
            plain.settimeout(HANDSHAKE_WITHIN_S)
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            made = context.wrap_socket(plain)
        except BaseException:
            plain.close()
            raise
        self._mine.connection, self._mine.life = made, life
        with self._lock:
            self._all.add(made)
        return made

    def _kept(self) -> ssl.SSLSocket | None:
        """This thread's connection, unless the agent has ended, or may have ended it, as it does with a silent one."""
        kept: ssl.SSLSocket | None = getattr(self._mine, "connection", None)
        if kept is None:
            return None
        if self._mine.life != self._life or time.monotonic() - self._mine.used_at > FRESH_S:
            self._drop()
            return None
        return kept

    def _drop(self) -> None:
        connection: ssl.SSLSocket | None = getattr(self._mine, "connection", None)
        self._mine.connection = None
        if connection is not None:
            with self._lock:
                self._all.discard(connection)
            with suppress(OSError):
                connection.close()


@dataclass(frozen=True, slots=True)
class Known:
    """The agents of a run: the image that they are made from, where each node's listens, and what they may (Agents)."""

    image: str
    nodes: Mapping[str, Address]
    capabilities: tuple[str, ...] = ()
    privileged: bool = False


def write_down(folder: Path, known: Known) -> None:
    """Keep it, for programs of this run and for whoever takes its harm back. Raises OSError."""
    place(folder / KNOWN, msgspec.json.encode(asdict(known)).decode())


def read_back(folder: Path) -> Known:
    """What was kept. Raises OrdealError where there is nothing that can be used."""
    path = folder / KNOWN
    try:
        return msgspec.json.decode(path.read_bytes(), type=Known)
    except (OSError, msgspec.MsgspecError) as error:
        raise OrdealError(f"{path} does not say where the agents of the nodes are: {error}") from error
