"""Who is told something: a URL that a user gave. It may hold a secret, so only its beginning is ever shown."""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from chaos.basics.visible import line
from chaos.clusters.way.proxies import beginning
from chaos.errors import OrdealError
from chaos.run.options import OTLP_ENDPOINT

# By OpenTelemetry's specification (Protocol Exporter): a base for all signals, and what is asked for traces as it is.
ENDPOINT, TRACES_ENDPOINT = OTLP_ENDPOINT, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
SPOKEN, DISABLED = "http/protobuf", "OTEL_SDK_DISABLED"
TRACES_PATH, PUSH_PATH = "/v1/traces", "/metrics/job"
JOB = "kube-ordeal"
SCHEMES = ("http", "https")


@dataclass(frozen=True, slots=True)
class Receiver:
    """Where to send: the whole URL, secrets included. As a text it is scheme, host and port."""

    url: str

    def __str__(self) -> str:
        return beginning(urlsplit(self.url))


def is_url(given: str) -> bool:
    """Whether it is meant to be a URL, and no file."""
    return "://" in given


def of_traces(given: str, environ: Mapping[str, str]) -> Receiver:
    """The receiver of traces that --ordeal-otlp names, or the environment where it was given ENDPOINT.

    Raises OrdealError where neither names one, or it speaks another protocol than OTLP over HTTP.
    """
    if environ.get(DISABLED, "").lower() == "true":
        raise OrdealError(
            f"{DISABLED} is true in the environment, and so no trace may be made: leave --ordeal-otlp out"
        )
    if given != ENDPOINT:
        return _below(_named("--ordeal-otlp", given), TRACES_PATH)
    protocol = next((found for name in PROTOCOLS if (found := environ.get(name))), SPOKEN)
    if protocol != SPOKEN:
        raise OrdealError(
            f"the environment wants traces sent by {line(protocol)}, and only {SPOKEN} is spoken here: name the "
            "receiver's HTTP address with --ordeal-otlp (by default its port is 4318)"
        )
    if whole := environ.get(TRACES_ENDPOINT):
        return _named(TRACES_ENDPOINT, whole)
    if base := environ.get(ENDPOINT):
        return _below(_named(ENDPOINT, base), TRACES_PATH)
    raise OrdealError(f"--ordeal-otlp was given no URL, and the environment has no {ENDPOINT}: give one of them")


def of_metrics(given: str) -> Receiver:
    """The Pushgateway that --ordeal-metrics names; in the group of this job, where the URL names no other one.

    Raises OrdealError where it is no URL of one.
    """
    found = _named("--ordeal-metrics", given)
    return found if PUSH_PATH in urlsplit(found.url).path else _below(found, f"{PUSH_PATH}/{JOB}")


def _named(named_by: str, given: str) -> Receiver:
    """Raises OrdealError, which does not say the URL: it may be half of a secret."""
    try:
        parts = urlsplit(given)
        is_one = parts.scheme in SCHEMES and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number, half of an IPv6 address
        is_one = False
    if not is_one or not given.isascii() or any(c.isspace() or not c.isprintable() for c in given):
        raise OrdealError(f"{named_by} names no URL such as http://host:4318, with http:// or https:// before the host")
    return Receiver(given)


def _below(receiver: Receiver, path: str) -> Receiver:
    """The same with that path after its own, unless it ends with it already."""
    parts = urlsplit(receiver.url)
    own = parts.path.rstrip("/")
    return receiver if own.endswith(path) else Receiver(parts._replace(path=f"{own}{path}").geturl())
