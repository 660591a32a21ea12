"""What answers on a node: one thread a connection, TLS with the run's certificate, one answer to each request."""

import signal
import socket
import socketserver
import ssl
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from chaos.agent import programs
from chaos.agent.armed import Armory
from chaos.agent.home import LEFT, Home, take_away
from chaos.agent.programs import StartedPrograms
from chaos.basics.visible import line
from chaos.clusters.agent import keys, protocol
from chaos.errors import OrdealError
from chaos.hosts.record import boot as boot_id

HANDSHAKE_WITHIN_S = 20.0  # a node that is harmed may be slow
SILENT_S = 60.0  # a connection on which nobody asks is ended; who asks again makes a new one
FIRST_WORD_S = 300.0
UNRENEWED_S = 60.0  # so long after the last word of a run, with nothing armed, the agent takes itself off the node
LOOK_EVERY_S = 1.0
MOST_SHAKING = 100  # connections whose handshake goes on
ENDED = 0


@dataclass(slots=True)
class Agent:
    """What there is to ask."""

    home: Home
    armory: Armory
    programs: StartedPrograms
    heard_at: float
    leaving: threading.Event

    def answer(self, asked: protocol.Request) -> protocol.Answer:
        """Never raises: what can't be done is Refused."""
        self.heard_at = time.monotonic()
        try:
            return self._answer(asked)
        except OrdealError as error:
            return protocol.Refused(str(error))
        except Exception as error:  # noqa: BLE001  (a request must not end the agent: it is the way back)
            return protocol.Refused(f"its own mistake: {error!r}")

    def _answer(self, asked: protocol.Request) -> protocol.Answer:
        said: protocol.Answer = protocol.Done()
        match asked:
            case protocol.Hello():
                said = protocol.Me(
                    protocol.VERSION, self.home.run, self.home.node, boot_id(), time.monotonic(),
                    self.armory.armed(), self.armory.lapsed(),
                )  # fmt: skip
            case protocol.Execute():
                said = programs.execute(asked)
            case protocol.Start():
                said = protocol.Number(self.programs.start(asked))
            case protocol.Feed():
                self.programs.feed(asked)
            case protocol.Read():
                said = self.programs.read(asked)
            case protocol.End():
                self.programs.end(asked.process)
            case protocol.Arm():
                said = protocol.Number(self.armory.arm(asked))
            case protocol.Renew():
                said = protocol.Done(self.armory.renew(asked))
            case protocol.Disarm():
                self.armory.disarm(asked.entry)
            case protocol.Leave():
                if not self.armory.close_if_empty():
                    raise OrdealError("it has something to take back yet, so it stays")
                self.leaving.set()
        return said


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, agent: Agent, tls: ssl.SSLContext) -> None:
        self.agent, self.tls, self.shaking = agent, tls, threading.BoundedSemaphore(MOST_SHAKING)
        self.address_family = socket.AF_INET6 if ":" in agent.home.address else socket.AF_INET
        super().__init__((agent.home.address, agent.home.port), _Talk)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Those without the key get no more than this many threads."""
        if self.shaking.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def handle_error(self, request: object, client_address: object) -> None:
        """Whoever comes without the key, or goes in the middle, is nobody's trouble."""


class _Talk(socketserver.BaseRequestHandler):
    """One connection. Its handshake is in its own thread: one that hangs keeps nobody waiting."""

    def handle(self) -> None:
        server = self.server
        assert isinstance(server, _Server)
        self.request.settimeout(HANDSHAKE_WITHIN_S)
        try:
            shaken = server.tls.wrap_socket(self.request, server_side=True)
        finally:
            server.shaking.release()
        with shaken as connection:
            connection.settimeout(SILENT_S)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with suppress(OSError, EOFError, ValueError, msgspec.MsgspecError):
                while (asked := protocol.receive(connection, protocol.Request)) is not None:
                    answer = server.agent.answer(asked)
                    try:
                        protocol.send(connection, answer)
                    except OrdealError as error:
                        protocol.send(connection, protocol.Refused(str(error)))


def serve(folder: Path) -> int:
    """Answer until the run says that it is over, or nothing was heard of it for long; then nothing of the agent stays.

    SIGTERM (the node shuts down) ends it, and all that is armed stays armed for its next start. Returns LEFT where it
    is not to be started again.
    """
    home = Home.read(folder)
    armory = Armory(home.node, home.memory, _report, home.capabilities)
    # The run says its first word when the slowest node has its agent.
    agent = Agent(home, armory, StartedPrograms(), time.monotonic() + FIRST_WORD_S, threading.Event())
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    threading.Thread(target=_listen, args=(agent, ended), daemon=True).start()
    while not ended.wait(LOOK_EVERY_S):
        is_alone = time.monotonic() - agent.heard_at > UNRENEWED_S
        if agent.leaving.is_set() or (is_alone and armory.close_if_empty()):
            break
    agent.programs.end_all()
    armory.close()
    if ended.is_set():
        return ENDED
    _report("takes itself off this node")
    take_away(home)
    return LEFT


def _listen(agent: Agent, ended: threading.Event) -> None:
    """For as long as the agent lives. After a boot its address may not be there yet, and what is to be undone does not
    wait for that.
    """
    told = ""
    while True:
        try:
            with _Server(agent, keys.server(agent.home.folder, agent.home.runner)) as server:
                _report(f"answers at {agent.home.address}, port {agent.home.port}")
                server.serve_forever()
        except OSError as error:
            if (why := str(error)) != told:
                told = why
                _report(f"can't listen at {agent.home.address}, port {agent.home.port}: {why}; tries again")
        if ended.wait(LOOK_EVERY_S):
            return


def _report(text: str) -> None:
    with suppress(OSError):  # nobody may be there to read it, and the way back goes on
        sys.stderr.write(f"kube-ordeal agent: {line(text)}\n")
        sys.stderr.flush()


def listening(address: str, port: int) -> bool:
    """Whether something takes connections there."""
    try:
        socket.create_connection((address, port), 1.0).close()
    except OSError:
        return False
    return True


def free_port(address: str) -> int:
    """A port of that address that nobody has now."""
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as tried:
        tried.bind((address, 0))
        port: int = tried.getsockname()[1]
        return port
