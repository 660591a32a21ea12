"""A kubeconfig, read as kubectl reads it: how several files make one, what a context says, what is wrong with it.

The rules are client-go's (k8s.io/client-go, tools/clientcmd: loader.go, merge.go, validation.go, client_config.go).
"""

import base64
import binascii
import os
import stat
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import msgspec
import yaml

from chaos.basics.untrusted import CREDENTIAL, bounded
from chaos.clusters.way.kubeconfig_text import parse
from chaos.errors import OrdealError

LIMIT_BYTES = 16 * 1024**2
PROXY_SCHEMES = ("http", "https", "socks5")
V1, V1BETA1 = "client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1"
NEVER, IF_AVAILABLE, ALWAYS = "Never", "IfAvailable", "Always"
PLUGIN_CONFIG = "client.authentication.k8s.io/exec"  # the cluster's extension that a plugin is told
T = TypeVar("T")


class Extension(msgspec.Struct, frozen=True, omit_defaults=True):
    """What another program keeps in a kubeconfig."""

    name: str = ""
    extension: Any = None


class ClusterEntry(msgspec.Struct, frozen=True, omit_defaults=True, rename="kebab"):
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
    cluster: ClusterEntry = ClusterEntry()


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
    cluster: ClusterEntry
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
    clusters: Mapping[str, ClusterEntry]
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
    clusters: dict[str, ClusterEntry] = {}
    users: dict[str, User] = {}
    for file, one in read_ones:
        beside = file.absolute().parent
        mine = _by_name(file, "context", [(c.name, c.context) for c in one.contexts])
        contexts = mine | contexts
        clusters = _by_name(file, "cluster", [(c.name, _cluster(c.cluster, beside)) for c in one.clusters]) | clusters
        users = _by_name(file, "user", [(u.name, _user(u.user, beside)) for u in one.users]) | users
    current = next((one.current_context for _, one in read_ones if one.current_context), "")
    return Kubeconfig(" and ".join(str(file) for file in files), current, contexts, clusters, users)


def _wrong_cluster(cluster: ClusterEntry) -> str:
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


def _cluster(cluster: ClusterEntry, folder: Path) -> ClusterEntry:
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
