"""Which kubeconfig is used: the files and the context that kubectl would take; and those that are put together here.

The rules are client-go's (k8s.io/client-go, tools/clientcmd: loader.go, rest: config.go).
"""

import hashlib
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from chaos.basics.files import place
from chaos.clusters.way.kubeconfig import Chosen, ClusterEntry, Context, User, read
from chaos.errors import OrdealError
from chaos.hosts import record
from chaos.hosts.places import journals_dir, state_path

VARIABLE = "KUBECONFIG"
SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
IN_CLUSTER = "in-cluster"
# What `sweep` finds; also where a write of it was cut short, see `chaos.basics.files.placed`.
_PUT_TOGETHER = re.compile(r"\.?(?P<whole>[0-9a-f]{12}(-(?P<process>\d+-\d+))?\.yaml)")


def find(given: Path | None, context: str, environment: Mapping[str, str] = os.environ) -> tuple[Path, str]:
    """One file that says what kubectl would use, and the context in it.

    That is the given file; else what KUBECONFIG names, or ~/.kube/config; else, in a pod, its service account. Where
    a context is put together from several files, or from none, that file is written, readable by its owner alone, for
    this process; see `sweep`. Raises OrdealError where there is none that can be used.
    """
    if given is not None:
        return given.absolute(), read(given).choose(context).context
    files = _files(environment)
    there = [file for file in files if _there(file)]
    merged = read(*there)
    if merged.empty and not context:
        if (chosen := _in_cluster(environment)) is not None:
            return _written(chosen), chosen.context
        looked = f"{', '.join(map(str, files)) or VARIABLE}: {'empty' if there else 'not there'}"
        raise OrdealError(f"there is no kubeconfig ({looked}); name one with --ordeal-kubeconfig")
    chosen = merged.choose(context)
    for file in there:
        if _says(file, chosen):
            return file.absolute(), chosen.context
    return _written(chosen), chosen.context


def folder() -> Path:
    """Where kubeconfigs are that were put together; what undoes what a killed run has left needs them."""
    return state_path() / "kubeconfigs"


def sweep(*, ended: bool = False) -> None:
    """Remove those that were put together for processes that are over, with `ended` for this one too.

    One that a journal names stays: what is pending there is undone with it.
    """
    if not folder().is_dir():
        return
    pending = b"".join(_content(journal) for journal in journals_dir().glob("*.jsonl"))
    for file in folder().iterdir():
        name = _PUT_TOGETHER.match(file.name)
        if name is None or name["whole"].encode() in pending:
            continue
        process = name["process"] or ""  # earlier versions named none
        if not record.is_alive(process) or (ended and process == record.this_process()):
            with suppress(OSError):  # another process was quicker
                file.unlink()


def _content(journal: Path) -> bytes:
    try:
        return journal.read_bytes()
    except FileNotFoundError:  # its run has just ended
        return b""


def _files(environment: Mapping[str, str]) -> list[Path]:
    named = environment.get(VARIABLE, "")
    if not named:
        return [Path(environment.get("HOME") or os.path.expanduser("~")) / ".kube" / "config"]  # noqa: PTH111
    return [Path(name) for name in dict.fromkeys(named.split(os.pathsep)) if name]


def _there(file: Path) -> bool:
    try:
        return file.exists()
    except OSError:  # it can't be told: who reads it says why
        return True


def _says(file: Path, chosen: Chosen) -> bool:
    """Whether that file alone says the same."""
    alone = read(file)
    named = alone.contexts.get(chosen.context)
    return (
        named == chosen.named
        and alone.clusters.get(named.cluster) == chosen.cluster
        and alone.users.get(named.user, User()) == chosen.user
    )


def _written(chosen: Chosen) -> Path:
    text = chosen.text()
    try:
        path = folder() / f"{hashlib.sha256(text.encode()).hexdigest()[:12]}-{record.this_process()}.yaml"
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        place(path, text)
    except OSError as error:
        raise OrdealError(f"the merged kubeconfig can't be written: {error}") from error
    return path


def _in_cluster(environment: Mapping[str, str]) -> Chosen | None:
    """The service account of the pod that this runs in (client-go, rest.InClusterConfig); None where it is no pod."""
    host, port = environment.get("KUBERNETES_SERVICE_HOST", ""), environment.get("KUBERNETES_SERVICE_PORT", "")
    token = SERVICE_ACCOUNT / "token"
    if not host or not port or not token.is_file():
        return None
    server = f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"
    return Chosen(
        "the pod's service account",
        IN_CLUSTER,
        Context(IN_CLUSTER, IN_CLUSTER),
        ClusterEntry(server=server, certificate_authority=str(SERVICE_ACCOUNT / "ca.crt")),
        User(token_file=str(token)),
    )
