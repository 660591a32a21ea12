"""A command inside a pod's container, through the API server: works on any cluster."""

import json
import time
from collections.abc import Callable, Sequence
from typing import Any

from kubernetes.client import ApiClient, CoreV1Api
from kubernetes.stream import stream

from chaos.errors import OrdealError
from chaos.hosts.command import CommandError, Output

STDOUT, STDERR, ERROR = 1, 2, 3  # the stream's channels (k8s.io/apimachinery, pkg/util/remotecommand)
LOOK_EVERY_S = 0.2


def exec_in_pod(
    client: ApiClient, namespace: str, pod: str, argv: Sequence[str], *, timeout_s: float = 30.0, check: bool = True
) -> Output:
    """Run a command to its end in a pod's first container. The client is not to be used by others meanwhile.

    Raises CommandError where it does not end within `timeout_s` (it may go on then) or, with `check`, exits with
    another code than 0; OrdealError where the pod can't be reached.
    """
    opened: Callable[..., Any] = stream
    shown = ["exec", f"{namespace}/{pod}", *argv]
    try:
        session = opened(
            CoreV1Api(client).connect_get_namespaced_pod_exec,
            pod,
            namespace,
            command=list(argv),
            stdout=True,
            stderr=True,
            stdin=False,
            tty=False,
            _preload_content=False,
        )
    except Exception as error:
        raise OrdealError(f"nothing can be run in pod {namespace}/{pod}: {error}") from error
    said: dict[int, list[str]] = {STDOUT: [], STDERR: [], ERROR: []}
    deadline = time.monotonic() + timeout_s
    try:
        while True:
            ended = not session.is_open()
            for channel, texts in said.items():
                while text := session.read_channel(channel):
                    texts.append(text)
            if ended:
                break
            if time.monotonic() > deadline:
                raise CommandError(shown, f"did not end within {timeout_s:g} s", "".join(said[STDERR] or said[STDOUT]))
            session.update(timeout=LOOK_EVERY_S)
    finally:
        session.close()
        session.sock.shutdown()  # where the other side closed first, close() leaves the socket open
    out, err = "".join(said[STDOUT]), "".join(said[STDERR])
    code = exit_code("".join(said[ERROR]))
    if check and code != 0:
        raise CommandError(shown, f"exited with {code}", err or out)
    return Output(code, out, err)


def exit_code(status: str) -> int:
    """What the stream's last word says of how the command ended; -1 where it says nothing of use.

    It is a v1.Status: Success, or Failure with a cause ExitCode (k8s.io/kubernetes, pkg/kubelet/cri/streaming).
    """
    try:
        told = json.loads(status)
    except ValueError:
        return -1
    if told.get("status") == "Success":
        return 0
    causes = (told.get("details") or {}).get("causes") or []
    return next((int(c["message"]) for c in causes if c.get("reason") == "ExitCode"), -1)
