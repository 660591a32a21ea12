"""What a `chaos run` was asked for: an experiment's `configuration`, else the environment, else the default."""

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from chaos.clusters.base import EXISTING, KIND, SIMULATED
from chaos.errors import OrdealError
from chaos.judge.catalogue import Incident
from chaos.judge.catalogue import find as find_incident
from chaos.run.options import OPTIONS, Option, Options, chosen
from chaos.run.pool import check_name

Configuration = Mapping[str, object]

YES, NO = ("true", "yes", "1"), ("false", "no", "0")  # what may be said of a switch
# What pytest chooses replays by, and how upstream's specs are run as tests; `controls` is one control here.
OF_PYTEST = re.compile(
    r"(no-)?controls|tour|setup|budget|history|plan(-json)?|specs|focus|conformance-version|e2e-test|spec-.*|resume"
)
# For the experiments that a user writes: our faults and probes, without a claim of ours.
OWN = Incident("own-experiment", "An experiment of your own", "", "", "", "", "", controls=())
# The keys that are no options of pytest's, and what they mean.
OTHERS = {
    "incident": "of an experiment of your own: the incident that its verdict is about",
    "control": "a known-bad configuration of the incident; empty is hardened",
    "eviction_deadline_s": "of an existing cluster, in seconds: grace period + monitor period + toleration, if not as "
    "shipped",
}


@dataclass(frozen=True, slots=True)
class Settings:
    """What was asked for. `cluster` and `control` are empty where nothing was said of them."""

    options: Options
    cluster: str
    control: str
    incident: Incident
    eviction_deadline_s: float | None


def options() -> Iterator[Option]:
    """The options that are keys of a configuration: `mysql_image` is that of --ordeal-mysql-image."""
    return (each for each in OPTIONS if not OF_PYTEST.fullmatch(each.name))


def key(option: str) -> str:
    """An option's key in a configuration; its variable in the environment is ORDEAL_ and the same in capitals."""
    return option.replace("-", "_")


def settings(configuration: Configuration | None, **instead: str) -> Settings:
    """From what Chaos Toolkit hands over; other keys are the user's own. `instead`: what an activity's arguments say.

    Raises OrdealError for a value that can't be.
    """

    def said(name: str) -> str:
        for value in (instead.get(name), (configuration or {}).get(name), os.environ.get(f"ORDEAL_{name.upper()}")):
            if value not in (None, ""):
                return str(value)
        return ""

    given = {each.name: _checked(each, key(each.name), said(key(each.name))) for each in options()}
    cluster, control = str(given["cluster"] or ""), said("control")
    check_name(str(given["cluster-name"] or ""))
    incident = find_incident(said("incident")) if said("incident") else OWN
    if control:
        incident.control(control)
    return Settings(
        replace(chosen(given.get), cluster=cluster or EXISTING),
        cluster,
        control,
        incident,
        _seconds(said("eviction_deadline_s")),
    )


def _checked(option: Option, name: str, said: str) -> object:
    if not said:
        return None
    may_be = (KIND, SIMULATED, EXISTING) if name == "cluster" else option.choices
    if option.switch is not None:
        if said.lower() not in {*YES, *NO}:
            raise OrdealError(f"the configuration's `{name}` is {said!r}; it may be true or false")
        return said.lower() in YES
    if may_be and said not in may_be:
        raise OrdealError(f"the configuration's `{name}` is {said!r}; it may be {', '.join(may_be)}")
    return said


def _seconds(said: str) -> float | None:
    try:
        return float(said) if said else None
    except ValueError:
        raise OrdealError(f"the configuration's eviction_deadline_s is {said!r}; it must be seconds") from None
