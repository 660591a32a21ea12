"""A cluster that is a recording: it takes the calls that were recorded, in their order, and gives their answers.

It stands for the cluster alone, at the boundary of its own methods, its API and the commands in its nodes' networks.
"""

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from io import BytesIO
from typing import Any

import pytest
import urllib3
from kubernetes.client import ApiClient, Configuration

from chaos.clusters.base import ClusterRef, Node
from chaos.hosts.command import Output

SERVER = "https://recorded:6443"
RENAMED = {"power": "power_state"}  # what the cluster's methods were called
NOT_COMPARED = {"timeout_s", "check"}  # how long, and what a failure means, is no part of what is done
# What a command in a node's network comes to: its recorded output and exit code.
SAYING = ("sh", "-c", 'printf %s "$2"; printf %s "$3" >&2; exit "$1"', "said")


@dataclass(frozen=True)
class Call:
    """One call as it was recorded: what was asked for, and what came of it. All of it as JSON has it."""

    name: str
    args: list[Any]
    given: Mapping[str, Any] = field(default_factory=dict)
    answer: Any = None

    @classmethod
    def of_json(cls, raw: Mapping[str, Any]) -> "Call":
        """From an entry of a file of calls."""
        return cls(RENAMED.get(raw["call"], raw["call"]), raw["args"], raw.get("given", {}), raw["answer"])

    def asks(self) -> tuple[str, str]:
        """What is compared."""
        return self.name, json.dumps([self.args, self.given], sort_keys=True)


class Replayed:
    """The cluster of an entry. Fails the test at the first call that is another one than was recorded."""

    def __init__(self, ref: ClusterRef, calls: Sequence[Call]) -> None:
        self.ref = ref
        self.left = list(calls)

    def __getattr__(self, name: str) -> Any:
        def called(*args: Any, **given: Any) -> Any:
            said = {key: value for key, value in given.items() if key not in NOT_COMPARED and value is not None}
            return _objects(self.take(Call(name, _plain(list(args)), _plain(said))))

        return called

    # NodeAddresses: an undo asks whether the cluster has it, and Python looks at the class for that.

    def address(self, node: str) -> Any:
        return self.__getattr__("address")(node)

    def free_address(self) -> Any:
        return self.__getattr__("free_address")()

    def power_on_at(self, node: str, address: str) -> Any:
        return self.__getattr__("power_on_at")(node, address)

    def in_network_of(self, node: str, argv: Sequence[str]) -> list[str]:
        output = _objects(self.take(Call("in_network_of", [node, list(argv)])))
        return [*SAYING, str(output.code), output.out, output.err]

    @contextmanager
    def api(self) -> Iterator[ApiClient]:
        client = ApiClient(Configuration(host=SERVER))
        rest: Any = client.rest_client
        rest.pool_manager = _Api(self)
        yield client

    def take(self, call: Call) -> Any:
        """The answer to the next call, if it is this one."""
        if not self.left:
            pytest.fail(f"all that was recorded is done, and then comes {call.name} {call.args} {dict(call.given)}")
        recorded = self.left.pop(0)
        if recorded.asks() != call.asks():
            pytest.fail(
                f"recorded was {recorded.name} {recorded.args} {dict(recorded.given)}\n"
                f"and now comes {call.name} {call.args} {dict(call.given)}"
            )
        return recorded.answer


class _Api:
    """What stands in a client's place for the line to the API server."""

    proxy = None

    def __init__(self, cluster: Replayed) -> None:
        self._cluster = cluster

    def request(self, method: str, url: str, **given: Any) -> urllib3.HTTPResponse:
        body = json.loads(given["body"]) if given.get("body") else None
        answer = self._cluster.take(Call("api", [method, url.removeprefix(SERVER), body]))
        said = answer["body"]
        return urllib3.HTTPResponse(
            body=BytesIO((said if isinstance(said, str) else json.dumps(said)).encode()),
            status=answer["status"],
            headers={
                "Content-Type": "text/plain" if isinstance(said, str) else "application/json",
                "Date": formatdate(usegmt=True),
            },
            preload_content=False,
        )

    def clear(self) -> None:
        """As a pool of connections is closed."""


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return {"bytes": base64.b64encode(value).decode()}
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, list | tuple) else value


def _objects(answer: Any) -> Any:
    """An answer as the cluster's methods give it."""
    if isinstance(answer, list):
        return tuple(_objects(each) for each in answer)
    match answer:
        case {"bytes": str(text)}:
            return base64.b64decode(text)
        case {"Output": fields}:
            return Output(**fields)
        case {"Power": fields}:  # of which the state is asked for
            return fields["state"]
        case {"Node": fields}:
            return Node(**fields | {"taints": tuple(fields["taints"])})
    return answer
