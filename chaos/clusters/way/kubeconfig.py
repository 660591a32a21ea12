"""Kubeconfig files, read as kubectl reads them: which there are, how several make one, what a context says.

The rules are client-go's (k8s.io/client-go, tools/clientcmd: loader.go, merge.go, validation.go, client_config.go).
"""

import base64
import binascii
import hashlib
import os
import re
import stat
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import msgspec
import yaml

from chaos.basics.files import place
from chaos.basics.untrusted import CREDENTIAL, MERGE, OnceLoader, bounded, check_values, json_of
from chaos.errors import OrdealError
from chaos.hosts import record
from chaos.hosts.places import journals_dir, state_path

VARIABLE = "KUBECONFIG"
SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
IN_CLUSTER = "in-cluster"
LIMIT_BYTES = 16 * 1024**2
DEPTH, VALUES = 100, 1_000_000  # no kubeconfig nests deeper or holds more; a file made to do harm does
PROXY_SCHEMES = ("http", "https", "socks5")
V1, V1BETA1 = "client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1"
NEVER, IF_AVAILABLE, ALWAYS = "Never", "IfAvailable", "Always"
PLUGIN_CONFIG = "client.authentication.k8s.io/exec"  # the cluster's extension that a plugin is told
# What `sweep` finds; also where a write of it was cut short, see `chaos.basics.files.placed`.
_PUT_TOGETHER = re.compile(r"\.?(?P<whole>[0-9a-f]{12}(-(?P<process>\d+-\d+))?\.yaml)")
T = TypeVar("T")


class Extension(msgspec.Struct, frozen=True, omit_defaults=True):
    """What another program keeps in a kubeconfig."""

    name: str = ""
    extension: Any = None


class Cluster(msgspec.Struct, frozen=True, omit_defaults=True, rename="kebab"):
    """How a cluster is reached; the names are the file's."""

    server: str = ""
    tls_server_name: str = ""
    insecure_skip_tls_verify: bool = False
    certificate_authority: str = ""
    certificate_authority_data: str = ""
    proxy_url: str = ""
    disable_compression: bool = False
    extensions: tuple[Extension, ...] = ()


class Variable(msgspec.Struct, frozen=True, omit_defaults=True):
    """A variable of a plugin's environment."""

    name: str = ""
    value: str = ""


class Exec(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """A plugin that is asked for credentials."""

    command: str = ""
    args: tuple[str, ...] = ()
    env: tuple[Variable, ...] = ()
    api_version: str = ""
    install_hint: str = ""
    provide_cluster_info: bool = False
    interactive_mode: str = ""


class AuthProvider(msgspec.Struct, frozen=True, omit_defaults=True):
    """What there was before plugins."""

    name: str = ""
    config: dict[str, Any] = {}


class User(msgspec.Struct, frozen=True, omit_defaults=True, rename="kebab"):
    """Who asks; the names are the file's."""

    client_certificate: str = ""
    client_certificate_data: str = ""
    client_key: str = ""
    client_key_data: str = ""
    token: str = ""
    token_file: str = msgspec.field(default="", name="tokenFile")
    as_user: str = msgspec.field(default="", name="as")
    as_uid: str = ""
    as_groups: tuple[str, ...] = ()
    as_user_extra: dict[str, tuple[str, ...]] = {}
    username: str = ""
    password: str = ""
    auth_provider: AuthProvider | None = None
    exec: Exec | None = None


class Context(msgspec.Struct, frozen=True, omit_defaults=True):
    """Who asks which cluster."""

    cluster: str = ""
    user: str = ""
    namespace: str = ""


class _NamedCluster(msgspec.Struct, frozen=True):
    name: str = ""
    cluster: Cluster = Cluster()


class _NamedUser(msgspec.Struct, frozen=True):
    name: str = ""
    user: User = User()


class _NamedContext(msgspec.Struct, frozen=True):
    name: str = ""
    context: Context = Context()


class _File(msgspec.Struct, frozen=True, rename="kebab"):
    api_version: str = msgspec.field(default="v1", name="apiVersion")
    kind: str = "Config"
    current_context: str = ""
    clusters: tuple[_NamedCluster, ...] = ()
    users: tuple[_NamedUser, ...] = ()
    contexts: tuple[_NamedContext, ...] = ()


@dataclass(frozen=True, slots=True)
class Chosen:
    """What one context says. `where`: how a sentence calls the file, or the files, that say it."""

    where: str
    context: str
    named: Context
    cluster: Cluster
    user: User

    def wrong(self, what: str) -> OrdealError:
        """The sentence for what can't be used of it."""
        return OrdealError(f"{self.where} is not a usable kubeconfig: {what}")

    def text(self, server: str = "") -> str:
        """A kubeconfig that says this and nothing else, wherever it lies; `server`: in the place of its own."""
        cluster = msgspec.structs.replace(self.cluster, server=server) if server else self.cluster
        parts = {
            "clusters": [{"name": self.named.cluster, "cluster": cluster}],
            "users": [{"name": self.named.user, "user": self.user}],
            "contexts": [{"name": self.context, "context": self.named}],
        }
        config = {"apiVersion": "v1", "kind": "Config", "current-context": self.context, **parts}
        return yaml.safe_dump(msgspec.to_builtins(config), sort_keys=False)


@dataclass(frozen=True, slots=True)
class Kubeconfig:
    """One file, or several that were merged: of each name the first one counts, and of the current context too."""

    where: str
    current_context: str
    contexts: Mapping[str, Context]
    clusters: Mapping[str, Cluster]
    users: Mapping[str, User]

    @property
    def empty(self) -> bool:
        """Whether it says nothing at all."""
        return not (self.current_context or self.contexts or self.clusters)

    def choose(self, context: str = "") -> Chosen:
        """What that context says, by default the current one. Raises OrdealError where kubectl could not use it."""
        name = context or self.current_context
        if name not in self.contexts:
            there = f"it has {_listed(self.contexts)}" if self.contexts else "it has none"
            if not name:
                raise OrdealError(
                    f"the kubeconfig {self.where} has no current-context; name one with --ordeal-context: {there}"
                )
            raise OrdealError(f"the kubeconfig {self.where} has no context {name!r}; {there}")
        named = self.contexts[name]
        if named.cluster not in self.clusters:
            there = f"it has {_listed(self.clusters)}" if self.clusters else "it has none"
            raise OrdealError(
                f"the kubeconfig {self.where} has a context {name!r} of a cluster {named.cluster!r}; {there}"
            )
        user = self.users.get(named.user, User())  # kubectl asks without credentials, then
        chosen = Chosen(self.where, name, named, self.clusters[named.cluster], user)
        problem = _wrong_cluster(chosen.cluster) or _wrong_user(user)
        if problem:
            raise chosen.wrong(problem)
        return chosen


def read(*files: Path) -> Kubeconfig:
    """The files, merged. Paths in them become absolute: they are meant from the file's folder on.

    Raises OrdealError where one can't be read or is no kubeconfig.
    """
    read_ones = [(file, _read(file)) for file in files]
    contexts: dict[str, Context] = {}
    clusters: dict[str, Cluster] = {}
    users: dict[str, User] = {}
    for file, one in read_ones:
        beside = file.absolute().parent
        mine = _by_name(file, "context", [(c.name, c.context) for c in one.contexts])
        contexts = mine | contexts
        clusters = _by_name(file, "cluster", [(c.name, _cluster(c.cluster, beside)) for c in one.clusters]) | clusters
        users = _by_name(file, "user", [(u.name, _user(u.user, beside)) for u in one.users]) | users
    current = next((one.current_context for _, one in read_ones if one.current_context), "")
    return Kubeconfig(" and ".join(str(file) for file in files), current, contexts, clusters, users)


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
        Cluster(server=server, certificate_authority=str(SERVICE_ACCOUNT / "ca.crt")),
        User(token_file=str(token)),
    )


def _wrong_cluster(cluster: Cluster) -> str:
    """What kubectl would refuse, as the end of a sentence."""
    try:
        secure = server_url(cluster.server).startswith("https://")
    except ValueError as error:
        return str(error)
    if cluster.proxy_url and _scheme(cluster.proxy_url) not in PROXY_SCHEMES:
        return f"proxy-url must begin with {', '.join(f'{s}://' for s in PROXY_SCHEMES)}"  # it may hold a password
    if cluster.certificate_authority and cluster.certificate_authority_data:
        return "certificate-authority and certificate-authority-data are both there; take one out"
    authority = cluster.certificate_authority or cluster.certificate_authority_data
    if secure and cluster.insecure_skip_tls_verify and authority:
        return "insecure-skip-tls-verify and a certificate-authority are both there; take one out"
    return ""


def _wrong_user(user: User) -> str:
    """What kubectl would refuse, as the end of a sentence."""
    certified = bool(user.client_certificate or user.client_certificate_data)
    acts = user.as_uid or user.as_groups or user.as_user_extra
    both = "are both there; take one out"
    wrong = {
        f"a token and a username or password {both}": user.token and (user.username or user.password),
        f"client-certificate and client-certificate-data {both}": user.client_certificate
        and user.client_certificate_data,
        f"client-key and client-key-data {both}": certified and user.client_key and user.client_key_data,
        "the client-certificate has no client-key": certified and not (user.client_key or user.client_key_data),
        "as-uid, as-groups and as-user-extra need `as`, the user to act as": acts and not user.as_user,
        f"auth-provider and exec {both}": user.auth_provider and user.exec,
    }
    first = next((sentence for sentence, so in wrong.items() if so), "")
    return first or (_wrong_exec(user.exec) if user.exec is not None else "")


def _wrong_exec(plugin: Exec) -> str:
    mode = interactive_mode(plugin)
    if not plugin.command:
        return "exec names no command"
    if plugin.api_version not in {V1, V1BETA1}:
        return f"exec must have the apiVersion {V1} or {V1BETA1}; it has {plugin.api_version or 'none'}"
    if any(not each.name for each in plugin.env):
        return "a variable of exec's env has no name"
    if mode not in {NEVER, IF_AVAILABLE, ALWAYS}:
        return f"exec's interactiveMode must be {NEVER}, {IF_AVAILABLE} or {ALWAYS}; it is {mode or 'not there'}"
    return ""


def interactive_mode(plugin: Exec) -> str:
    """What a plugin wants of the terminal; v1beta1 need not say it."""
    return plugin.interactive_mode or (IF_AVAILABLE if plugin.api_version == V1BETA1 else "")


def contents(chosen: Chosen, what: str, data: str, path: str) -> bytes:
    """The bytes that are in the file as `what`-data, or in the file that it names as `what`.

    Raises OrdealError where they can't be had; b"" where neither is there.
    """
    if data:
        try:
            return base64.b64decode("".join(data.split("\n")).replace("\r", ""), validate=True)
        except (binascii.Error, ValueError) as error:
            raise chosen.wrong(f"{what}-data is not base64 ({error})") from error
    if not path:
        return b""
    try:
        with Path(path).open("rb") as file:
            return bounded(file, CREDENTIAL)
    except OSError as error:
        raise chosen.wrong(f"{what} {path} can't be read: {error.strerror}") from error
    except ValueError as error:
        raise chosen.wrong(f"{what} {path!r} can't be used: {error}") from error


def server_url(server: str) -> str:
    """The server with its scheme, without a slash at its end. Raises ValueError with the end of a sentence.

    A host without a scheme is asked by plain HTTP (client-go, rest.DefaultServerURL).
    """
    if not server:
        raise ValueError("the cluster of the context has no server")
    try:
        url = urlsplit(server)
        if not url.scheme or not url.netloc:
            url = urlsplit(f"http://{server}")
        good = url.scheme in {"http", "https"} and bool(url.hostname) and (url.port is None or url.port > 0)
    except ValueError:
        good = False
    if not good:
        raise ValueError(f"its server {server!r} is no address such as https://host:6443")
    if "@" in url.netloc:
        raise ValueError("its server holds a name or a password, which belongs to a user of the kubeconfig")
    return url._replace(query="", fragment="").geturl().rstrip("/")


def _scheme(url: str) -> str:
    try:
        return urlsplit(url).scheme
    except ValueError:
        return ""


def _listed(names: Mapping[str, object]) -> str:
    some = [repr(name) for name in list(names)[:10]]
    return ", ".join(some) + (f" and {len(names) - len(some)} more" if len(names) > len(some) else "")


def _by_name(file: Path, what: str, named: Sequence[tuple[str, T]]) -> dict[str, T]:
    found: dict[str, T] = {}
    for name, one in named:
        if name in found:
            raise OrdealError(f"{file} is not a usable kubeconfig: it has two of the {what} {name!r}; take one out")
        found[name] = one
    return found


def _cluster(cluster: Cluster, folder: Path) -> Cluster:
    return msgspec.structs.replace(cluster, certificate_authority=_in(folder, cluster.certificate_authority))


def _user(user: User, folder: Path) -> User:
    plugin = user.exec
    if plugin is not None and "/" in plugin.command:  # else it is looked for in PATH
        plugin = msgspec.structs.replace(plugin, command=_in(folder, plugin.command))
    return msgspec.structs.replace(
        user,
        client_certificate=_in(folder, user.client_certificate),
        client_key=_in(folder, user.client_key),
        token_file=_in(folder, user.token_file),
        exec=plugin,
    )


def _in(folder: Path, path: str) -> str:
    return str(folder / path) if path else ""


def _read(file: Path) -> _File:
    def wrong(what: str) -> OrdealError:
        return OrdealError(f"{file} is not a usable kubeconfig: {what}")

    try:
        data = _bytes(file, wrong)
        if not data:
            return _File()
        held = parse(data)
    except FileNotFoundError as error:
        raise OrdealError(f"there is no kubeconfig at {file}: name one with --ordeal-kubeconfig") from error
    except OSError as error:
        raise wrong(f"it can't be read: {error.strerror}") from error
    except ValueError as error:
        raise wrong(str(error)) from error
    if held is None:
        return _File()
    if not isinstance(held, dict):
        raise wrong("it holds no mapping")
    try:
        found = msgspec.convert(held, _File)
    except msgspec.ValidationError as error:
        raise wrong(f"{error} (a text that looks like a number or like true needs quotes)") from error
    if (found.api_version, found.kind) != ("v1", "Config"):
        raise wrong(f"it is a {found.kind} of {found.api_version}, not a Config of v1")
    return found


def _bytes(file: Path, wrong: Callable[[str], OrdealError]) -> bytes:
    """What is in the file. Raises OSError, and what `wrong` makes of a thing that is no file."""
    mode = file.stat().st_mode
    if stat.S_ISCHR(mode) and file.samefile(os.devnull):  # what people name where there is to be none
        return b""
    kinds: dict[Callable[[int], bool], str] = {
        stat.S_ISDIR: "it is a folder",
        stat.S_ISFIFO: "it is a pipe, which can be read but once; write it to a file",
    }
    if not stat.S_ISREG(mode):
        raise wrong(next((text for is_one, text in kinds.items() if is_one(mode)), "it is no ordinary file"))
    with file.open("rb") as opened:
        data = opened.read(LIMIT_BYTES + 1)
    if len(data) > LIMIT_BYTES:
        raise wrong(
            f"it is larger than {LIMIT_BYTES // 1024**2} MiB; "
            "`kubectl config view --minify --flatten` writes out the one context that is needed"
        )
    return data


class _Loader(OnceLoader):
    """Leaves dates texts, as they are to Go. Of keys that are merged (`<<`) it keeps each once, as they come."""

    yaml_implicit_resolvers = {  # noqa: RUF012  (the base class has it so)
        first: [each for each in known if each[0] != "tag:yaml.org,2002:timestamp"]
        for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def __init__(self, stream: bytes) -> None:
        super().__init__(stream)
        self._merged = 0

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """As PyYAML does, which keeps a key as often as it is merged: a few lines grow to what no machine holds.

        Raises yaml.YAMLError.
        """
        merges = [value for key, value in node.value if key.tag == MERGE]
        if merges:
            self.check_once(node)
        for each in (inner for value in merges for inner in (value, *value.value)):
            if isinstance(each, yaml.MappingNode):
                self.flatten_mapping(each)
                self._merged += len(each.value)
        if self._merged > VALUES:
            raise yaml.constructor.ConstructorError(None, None, "it merges more than a kubeconfig can", node.start_mark)
        super().flatten_mapping(node)
        if merges:
            node.value = list({self.key(key): (key, value) for key, value in node.value}.values())


def parse(data: bytes) -> object:
    """JSON, or the first document of YAML, without what is null. Raises ValueError with the end of a sentence."""
    try:
        try:
            held = json_of(data)
        except ValueError:
            depth = 0
            for event in yaml.parse(data, _Loader):  # the loader itself would overflow the stack
                depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
                if depth > DEPTH:
                    raise ValueError("it is nested too deeply") from None
                if isinstance(event, yaml.DocumentEndEvent):
                    break
            held = next(iter(yaml.load_all(data, _Loader)), None)
    except yaml.YAMLError as error:
        raise ValueError(f"it is no YAML: {' '.join(str(error).split())[:200]}") from error
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    except (AttributeError, LookupError, TypeError) as error:  # of values that do not fit their tags
        raise ValueError(f"it holds a value that can't be read ({error!r})") from error
    made = _Without().nulls(held)
    check_values(made)
    return made


class _Without:
    """Takes out what is null, which is as good as not there; gives up on what grows without end by its aliases."""

    def __init__(self) -> None:
        self._seen = 0

    def nulls(self, value: Any, depth: int = 0) -> Any:
        self._seen += 1
        if self._seen > VALUES or depth > DEPTH:
            raise ValueError("it holds more than a kubeconfig can")
        if isinstance(value, dict):
            return {str(key): self.nulls(each, depth + 1) for key, each in value.items() if each is not None}
        if isinstance(value, list):
            return [{} if each is None else self.nulls(each, depth + 1) for each in value]
        return value
