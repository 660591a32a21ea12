"""A way to an API server that can be made bad: toxiproxy (what happens to bytes), then mitmproxy (what is answered).

Both are of package registries: toxiproxy is built from its Go module, mitmproxy has an environment of its own, since
what it is pinned to would hold back packages of ours. Each is made in the cache where it is not there, and listens on
loopback. The client has no TLS, so that a cut falls between the bytes of an answer and not between records.
"""

import hashlib
import json
import subprocess
import sys
import venv
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import urllib3
import yaml
from kubernetes.client import ApiClient

from chaos.agent.server import free_port
from chaos.clusters.way import kubeconfig as kubeconfigs
from chaos.clusters.way.client import api_client
from chaos.clusters.way.kubeconfig import contents
from chaos.hosts import go
from chaos.hosts.places import cache_dir
from tests.integration.test_receivers import LOOPBACK, serving

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
LOCK = ROOT / "requirements-hostile.lock"
TOKEN = "first"


def toxiproxy() -> Path:
    """The program, built into the cache where it is not there."""
    made = _kept("toxiproxy", HERE / "toxiproxy" / "go.mod", HERE / "toxiproxy" / "go.sum")
    if not made.is_file():
        scratch = made.with_suffix(".new")
        package = "github.com/Shopify/toxiproxy/v2/cmd/server"
        arguments = ["build", "-trimpath", "-ldflags=-s -w", "-o", str(scratch), package]
        go.build("toxiproxy", arguments, cwd=HERE / "toxiproxy", env={"CGO_ENABLED": "0"}, report=print)
        scratch.rename(made)
    return made


def mitmdump() -> Path:
    """The program, in an environment in the cache that is made where it is not there."""
    made = _kept("mitmproxy", LOCK)
    if not (made / ".ready").is_file():
        venv.create(made, with_pip=True, symlinks=True, clear=True)
        pip = [str(made / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        # The lock has all of them, and one that is newer than what needs it says: the older one is no wheel.
        lock = ["--no-deps", "--only-binary", ":all:", "--require-hashes", "-r", str(LOCK)]
        done = subprocess.run([*pip, *lock], capture_output=True, text=True, timeout=900, check=False)
        assert done.returncode == 0, done.stderr
        (made / ".ready").touch()
    return made / "bin" / "mitmdump"


def _kept(name: str, *made_of: Path) -> Path:
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in made_of) + sys.version.encode()).hexdigest()
    return cache_dir() / f"{name}-{digest[:12]}"


class HostileWay:
    """The way, while its block lasts; `kubeconfig` leads over it with the token TOKEN."""

    def __init__(self, kubeconfig: Path, toxics: str, port: int, answers: str) -> None:
        self.kubeconfig = kubeconfig
        self.url = f"http://{LOOPBACK}:{port}"
        self._toxics, self._answers, self._port = f"{toxics}/proxies", f"{answers}/hostile", port
        self._http = urllib3.PoolManager(retries=False, timeout=10)
        self._ask("POST", "", name="api", listen=f"{LOOPBACK}:{port}", upstream=answers.removeprefix("http://"))
        self.token(TOKEN)

    def client(self) -> ApiClient:
        return api_client(self.kubeconfig)

    def token(self, token: str) -> None:
        """Write the kubeconfig with this token."""
        cluster = {"name": "hostile", "cluster": {"server": self.url}}
        user = {"name": "hostile", "user": {"token": token}}
        context = {"name": "hostile", "context": {"cluster": "hostile", "user": "hostile"}}
        held: dict[str, Any] = {"apiVersion": "v1", "kind": "Config", "current-context": "hostile"}
        held |= {"clusters": [cluster], "users": [user], "contexts": [context]}
        scratch = self.kubeconfig.with_suffix(".new")
        scratch.write_text(yaml.safe_dump(held))
        scratch.chmod(0o600)
        scratch.rename(self.kubeconfig)

    def cut(self) -> None:
        """Every connection is closed, in the middle of whatever it carries; new ones are taken."""
        self._ask("POST", "/api", enabled=False)
        self._ask("POST", "/api", enabled=True)

    @contextmanager
    def toxic(self, kind: str, **attributes: int) -> Iterator[None]:
        """What toxiproxy does to bytes, in open connections too, for the block's length."""
        self._ask("POST", "/api/toxics", name="it", type=kind, stream="downstream", attributes=attributes)
        try:
            yield
        finally:
            self._ask("DELETE", "/api/toxics/it")

    def answers(self, **trouble: object) -> None:
        """What mitmproxy is to do to answers from now on (addon.py); nothing without arguments."""
        told = self._http.request("PUT", self._answers, body=json.dumps(trouble))
        assert told.status == 200, told.data

    def done(self) -> int:
        """How many answers and events were changed or refused since the trouble began."""
        return int(json.loads(self._http.request("GET", self._answers).data)["done"])

    def _ask(self, verb: str, path: str, **body: Any) -> None:
        answer = self._http.request(verb, self._toxics + path, body=json.dumps(body))
        assert answer.status < 300, answer.data


@contextmanager
def hostile_way(theirs: Path, folder: Path) -> Iterator[HostileWay]:
    """A way to the API server of the kubeconfig `theirs`; its own kubeconfig and logs are in `folder`."""
    chosen = kubeconfigs.read(theirs).choose()
    user, authority = chosen.user, chosen.cluster
    pair, trusted = folder / "client.pem", folder / "ca.pem"
    pair.touch(mode=0o600)
    pair.write_bytes(
        contents(chosen, "client-certificate", user.client_certificate_data, user.client_certificate)
        + contents(chosen, "client-key", user.client_key_data, user.client_key)
    )
    named = (authority.certificate_authority_data, authority.certificate_authority)
    trusted.write_bytes(contents(chosen, "certificate-authority", *named))
    ports = [free_port(LOOPBACK) for _ in range(3)]
    settings = {
        "confdir": folder / "mitmproxy",
        "client_certs": pair,
        "ssl_verify_upstream_trusted_ca": trusted,
        "connection_strategy": "lazy",
        "http2": "false",
        "flow_detail": "0",
        "body_size_limit": "200m",
    }
    answers = [str(mitmdump()), "--quiet", "--mode", f"reverse:{authority.server}", "--listen-host", LOOPBACK]
    answers += ["--listen-port", str(ports[0]), "--scripts", str(HERE / "addon.py")]
    answers += [part for name, value in settings.items() for part in ("--set", f"{name}={value}")]
    toxics = [str(toxiproxy()), "-host", LOOPBACK, "-port", str(ports[1])]
    with ExitStack() as stack:
        mitm = stack.enter_context(serving(answers, ports[0], folder / "mitmdump.log"))
        toxi = stack.enter_context(serving(toxics, ports[1], folder / "toxiproxy.log"))
        yield HostileWay(folder / "kubeconfig", toxi, ports[2], mitm)
