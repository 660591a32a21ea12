"""A command inside a pod's container, through the API server: works on any cluster."""

import time
from collections.abc import Sequence
from urllib.parse import urlencode

import msgspec
from kubernetes.client import ApiClient, ApiException
from urllib3.exceptions import HTTPError
from websocket import ABNF, WebSocketBadStatusException, WebSocketException, WebSocketTimeoutException

from chaos.basics.untrusted import KIB, MIB, Limit, json_of
from chaos.clusters.way.client import told, transport_of
from chaos.errors import OrdealError
from chaos.hosts.command import CommandError, Output

STDOUT, STDERR, ERROR = 1, 2, 3  # the stream's channels (k8s.io/apimachinery, pkg/util/remotecommand)
PROTOCOL = "v4.channel.k8s.io"
MOST_BYTES = 64 * MIB  # of output; whatever is asked for here has some at the most, and `yes` fills any memory
STATUS = Limit(64 * KIB, 1_000)


class _Cause(msgspec.Struct):
    reason: str = ""
    message: str = ""


class _Details(msgspec.Struct):
    causes: list[_Cause] | None = None


class _Status(msgspec.Struct):
    status: str = ""
    details: _Details | None = None


def exec_in_pod(
    client: ApiClient, namespace: str, pod: str, argv: Sequence[str], *, timeout_s: float = 30.0, check: bool = True
) -> Output:
    """Run a command to its end in a pod's first container. The client is not to be used by others meanwhile.

    Raises CommandError where it does not end within `timeout_s` or says more than MOST_BYTES (it may go on then) or,
    with `check`, exits with another code than 0; OrdealError where the pod can't be reached.
    """
    shown = ["exec", f"{namespace}/{pod}", *argv]
    asked = urlencode([*(("command", word) for word in argv), ("stdout", "true"), ("stderr", "true")])
    path = f"/api/v1/namespaces/{namespace}/pods/{pod}/exec?{asked}"
    said = {STDOUT: bytearray(), STDERR: bytearray(), ERROR: bytearray()}
    deadline = time.monotonic() + timeout_s
    try:
        with transport_of(client).websocket(f"{client.configuration.host}{path}", PROTOCOL) as session:
            while (left_s := deadline - time.monotonic()) > 0:
                session.settimeout(left_s)
                opcode, frame = session.recv_data_frame(control_frame=True)
                if opcode == ABNF.OPCODE_CLOSE:
                    break
                if opcode in {ABNF.OPCODE_BINARY, ABNF.OPCODE_TEXT} and frame.data and frame.data[0] in said:
                    stream = said[frame.data[0]]
                    stream += frame.data[1:]
                    if sum(map(len, said.values())) > MOST_BYTES:
                        last = stream[-KIB:].decode(errors="replace")
                        raise CommandError(shown, f"said more than {MOST_BYTES // MIB} MiB", last)
    except WebSocketTimeoutException:
        left_s = 0.0
    except WebSocketBadStatusException as error:
        refused = ApiException(status=error.status_code)
        refused.body = (error.resp_body or b"").decode(errors="replace")
        raise OrdealError(f"nothing can be run in pod {namespace}/{pod}: {told(refused)}") from error
    except (WebSocketException, HTTPError, OSError) as error:
        if not said[ERROR]:
            raise OrdealError(f"nothing can be run in pod {namespace}/{pod}: {told(error)}") from error
    out, err = (said[channel].decode(errors="replace") for channel in (STDOUT, STDERR))
    if left_s <= 0:
        raise CommandError(shown, f"did not end within {timeout_s:g} s", err or out)
    code = exit_code(said[ERROR])
    if check and code != 0:
        raise CommandError(shown, f"exited with {code}", err or out)
    return Output(code, out, err)


def exit_code(status: bytes | bytearray) -> int:
    """What the stream's last word says of how the command ended; -1 where it says nothing of use.

    It is a v1.Status: Success, or Failure with a cause ExitCode (k8s.io/kubernetes, pkg/kubelet/cri/streaming).
    """
    try:
        ended = msgspec.convert(json_of(bytes(status), STATUS), _Status)
        if ended.status == "Success":
            return 0
        causes = (ended.details.causes if ended.details else None) or []
        return next((int(each.message) for each in causes if each.reason == "ExitCode"), -1)
    except (ValueError, msgspec.ValidationError):
        return -1
