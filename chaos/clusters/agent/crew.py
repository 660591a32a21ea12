"""All agents of a run: the way to each, and the word that the run still lives, which each hears again and again."""

import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from functools import partial

import msgspec

from chaos.basics.waiting import WaitedInVainError, eventually
from chaos.clusters.abilities import Clock
from chaos.clusters.agent import protocol
from chaos.clusters.agent.channel import Channel, UnreachedError, read_back
from chaos.clusters.agent.deployment import Agents
from chaos.clusters.agent.narrowing import narrowed
from chaos.clusters.identity import named_in
from chaos.errors import OrdealError

WITHIN_S = 30.0  # a node takes back by itself what is not renewed for so long
RENEW_EVERY_S = 5.0
HELLO_WITHIN_S, ARMED_WITHIN_S = 5.0, 60.0  # the first one that is armed has an agent load all faults
GONE_WITHIN_S = 30.0
EXCHANGES = 5  # by which a clock is read


class Crew:
    """Close it at the end. An agent that hears nothing more takes back what it has, and leaves its node."""

    def __init__(self, agents: Agents) -> None:
        """Raises OrdealError where it is not known where they are."""
        self.agents = agents
        addresses = read_back(agents.folder).nodes
        self.channels = {node: Channel(agents.folder, node, each) for node, each in addresses.items()}
        self._armed: dict[str, set[int]] = {node: set() for node in addresses}
        self._lock, self._over = threading.Lock(), threading.Event()

    def channel(self, node: str) -> Channel:
        """The way to a node. Raises OrdealError where no agent is there."""
        found = self.channels.get(node)
        if found is None:
            raise OrdealError(f"there is no node agent on {node}, so nothing can be done there")
        return found

    def require(self) -> None:
        """Raise OrdealError where one gives no answer, is another one than is meant, or of another version."""
        for node, channel in self.channels.items():
            said = channel.ask(protocol.Hello(), protocol.Me, within_s=HELLO_WITHIN_S)
            if (said.run, said.node) != (self.agents.run, node):
                raise OrdealError(f"what answers for node {node} says that it is {said.node}, of the run {said.run}")
            if said.version != protocol.VERSION:
                raise OrdealError(
                    f"the agent of node {node} speaks version {said.version} of the protocol and this is "
                    f"{protocol.VERSION}: build its image anew with `kube-ordeal image build --agent`"
                )

    def answers(self) -> bool:
        """Whether each does, as `require` asks."""
        try:
            self.require()
        except OrdealError:
            return False
        return True

    def is_there(self, node: str) -> bool:
        """Whether that node's agent answers."""
        return not _is_silent(self.channel(node))

    def keep(self) -> None:
        """Let each hear of the run from now on, in a thread of its own: one that is cut off keeps no other waiting."""
        for node in self.channels:
            threading.Thread(target=self._renew, args=(node,), name=f"renew-{node}", daemon=True).start()

    def arm(self, fault: str, saved: Mapping[str, object]) -> "Armed":
        """Each node that the plan names has its part of it. Raises OrdealError where one can't be told."""
        there, armed = tuple(self.channels), Armed(self)
        only = saved.get("node")  # others that such a plan names give something, and nothing is done to them
        try:
            for node in sorted(named_in(saved, there)):
                if only in {None, node}:
                    plan = msgspec.json.encode(narrowed(saved, node, there))
                    asked = protocol.Arm(fault, plan, WITHIN_S)
                    number = self.channel(node).ask(asked, protocol.Number, within_s=ARMED_WITHIN_S).value
                    armed.entries[node] = number
                    with self._lock:
                        self._armed[node].add(number)
        except BaseException:
            armed.leave()  # it is known to nobody but the nodes, and lapses there before anything was done
            raise
        return armed

    def clock(self, node: str) -> Clock:
        """By the quickest of some exchanges: the node read its clock somewhere in it. Raises OrdealError."""
        channel, found = self.channel(node), list[Clock]()
        for _ in range(EXCHANGES):
            asked_at = time.monotonic()
            said = channel.ask(protocol.Hello(), protocol.Me, within_s=HELLO_WITHIN_S)
            half_s = (time.monotonic() - asked_at) / 2
            found.append(Clock(said.monotonic_s - asked_at - half_s, half_s))
        return min(found, key=lambda each: each.error_s)

    def disarm_all(self, fault: str) -> None:
        """Of every node that is reached, whichever process of the run armed it."""
        for channel in self.channels.values():
            with suppress(OrdealError):
                for each in channel.ask(protocol.Hello(), protocol.Me, within_s=HELLO_WITHIN_S).armed:
                    if each.fault == fault:
                        channel.ask(protocol.Disarm(each.entry), protocol.Done)

    def forget(self, node: str, entry: int) -> None:
        """Renew it no more."""
        with self._lock:
            self._armed[node].discard(entry)

    def dismiss(self) -> frozenset[str]:
        """Let each leave its node, and wait until it has; returns those that it has left. One that is not reached, or
        has yet to take something back, leaves by itself when it hears nothing more.
        """
        self._over.set()
        gone = set[str]()
        for node, channel in self.channels.items():
            try:
                channel.ask(protocol.Leave(), protocol.Done)
            except OrdealError:
                continue
            with suppress(WaitedInVainError):
                eventually(partial(_is_silent, channel), within_s=GONE_WITHIN_S, what=f"the agent to leave {node}")
                gone.add(node)
        return frozenset(gone)

    def close(self) -> None:
        """Say nothing more to them."""
        self._over.set()
        for each in self.channels.values():
            each.close()

    def _renew(self, node: str) -> None:
        while not self._over.wait(RENEW_EVERY_S):
            with self._lock:
                entries = tuple(sorted(self._armed[node]))
            with suppress(OrdealError):  # the way there is what some faults cut; the node has its deadline
                self.channels[node].ask(protocol.Renew(WITHIN_S, entries), protocol.Done, within_s=RENEW_EVERY_S)


def _is_silent(channel: Channel) -> bool:
    try:
        channel.ask(protocol.Hello(), protocol.Me, within_s=HELLO_WITHIN_S)
    except UnreachedError:
        return True
    return False


class Armed:
    """What nodes will take back by themselves, each by its entry's number there."""

    def __init__(self, crew: Crew) -> None:
        self._crew, self.entries = crew, dict[str, int]()

    def disarm(self) -> None:
        """It is undone: the nodes have nothing to take back any more. One that is not reached for as long as its
        deadline is has taken it back by itself, which does no harm.
        """
        for node, entry in self.entries.items():
            self._crew.forget(node, entry)
            what = f"the agent of {node} to be told that nothing is to be undone"
            with suppress(WaitedInVainError):
                eventually(partial(self._disarm, node, entry), within_s=WITHIN_S + HELLO_WITHIN_S, what=what)

    def require(self) -> None:
        """Raise OrdealError where a node that is reached has it no more: it heard nothing of the run."""
        for node, entry in self.entries.items():
            try:
                said = self._crew.channel(node).ask(protocol.Hello(), protocol.Me, within_s=HELLO_WITHIN_S)
            except UnreachedError:  # the way there is what some faults cut
                continue
            if entry not in {each.entry for each in said.armed}:
                raise OrdealError(
                    f"node {node} has taken it back by itself: it heard nothing of the run for {WITHIN_S:g} s"
                )

    def leave(self) -> None:
        """Renew no more: what was not undone from here, the nodes take back."""
        for node, entry in self.entries.items():
            self._crew.forget(node, entry)

    def _disarm(self, node: str, entry: int) -> bool:
        self._crew.channel(node).ask(protocol.Disarm(entry), protocol.Done)
        return True
