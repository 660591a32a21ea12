"""The extras of this distribution: what needs packages that an existing or a simulated cluster does not.

They are imported where they are used, after `need` or `lacks` was asked.
"""

import importlib.util

from chaos.errors import OrdealError
from chaos.hosts.places import APP

KIND, REPORT, GATE, TOOLKIT = "kind", "report", "gate", "toolkit"
DATABASES, SOCKS, AGENT = "databases", "socks", "agent"
OTEL, METRICS = "otel", "metrics"
# The modules of each, as pyproject.toml has their distributions.
MODULES: dict[str, tuple[str, ...]] = {
    KIND: ("pytest_kind",),
    REPORT: ("jinja2", "plotly"),
    GATE: ("numpy", "scipy"),
    TOOLKIT: ("chaoslib", "chaostoolkit"),
    DATABASES: ("pymysql",),
    SOCKS: ("socks",),
    AGENT: ("cryptography",),
    OTEL: ("opentelemetry.exporter.otlp.proto.http", "opentelemetry.sdk.trace"),
    METRICS: ("prometheus_client",),
}
SERVES: dict[str, str] = {
    KIND: "kind clusters",
    REPORT: "the page of a run",
    GATE: "comparing runs, and the upgrade gate",
    TOOLKIT: "incidents as Chaos Toolkit's experiments",
    DATABASES: "replays with MySQL",
    SOCKS: "clusters behind a SOCKS proxy",
    AGENT: "harming nodes that somebody else made",
    OTEL: "traces of replays",
    METRICS: "metrics for Prometheus",
}


def command(extra: str) -> str:
    """What brings it."""
    return f"pip install '{APP}[{extra}]'"


def lacking(extra: str) -> tuple[str, ...]:
    """Its modules that are not installed; none of them is imported."""
    return tuple(each for each in MODULES[extra] if not _is_there(each))


def lacks(extra: str, what: str = "") -> str:
    """Why `what` (else what it serves) can't be had without it, with the command that brings it; "" where it can."""
    missing = lacking(extra)
    if not missing:
        return ""
    are = "is" if len(missing) == 1 else "are"
    return f"{what or SERVES[extra]} can't be had: {' and '.join(missing)} {are} not installed; {command(extra)}"


def need(extra: str, what: str = "") -> None:
    """Raise OrdealError where it lacks; the words are those of `lacks`."""
    if why := lacks(extra, what):
        raise OrdealError(why)


def _is_there(module: str) -> bool:
    """To look for a module, what it is in is imported: of OpenTelemetry's those are folders that packages share."""
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # what it would be in
        return False
