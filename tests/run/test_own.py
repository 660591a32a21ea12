"""What the user brings: a command, Services to watch, limits. What can't be used is one sentence before the run."""

import os
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from chaos.errors import OrdealError
from chaos.hosts.places import history_file
from chaos.record.given import LimitGiven
from chaos.results import run_history
from chaos.results.past_limits import Basis, document, limits_from
from chaos.run import limits, watched
from chaos.run.options import Options, chosen
from chaos.run.own import Own, own_of
from chaos.run.watched import WatchedService, parse, url_of
from tests.results.past_made import judged, past, replayed

FRONT = WatchedService("shop", "front")


def asked(**given: Any) -> Options:
    return replace(chosen(lambda _: None), **given)


def test_nothing_is_brought_unless_it_is_asked_for() -> None:
    assert own_of(asked()) == Own()


def test_a_command_is_taken_by_its_words_and_without_a_shell() -> None:
    own = own_of(asked(upgrade_command="sh -c 'echo $HOME; exit 0'", upgrade_within="90m"))
    assert (own.upgrade, own.upgrade_within_s) == (("sh", "-c", "echo $HOME; exit 0"), 5400)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (
            {"upgrade_command": "./no-such.sh"},
            r"--ordeal-upgrade-command: \./no-such\.sh is no program that can be run",
        ),
        ({"upgrade_command": "sh -c 'echo"}, "can't be read: No closing quotation"),
        ({"upgrade_command": " "}, "names no command"),
        ({"upgrade_within": "soon"}, "--ordeal-upgrade-within soon: that is no time"),
        ({"upgrade_within": "6h"}, "--ordeal-upgrade-within 6h: a cluster is watched for 5h at the most"),
    ],
)
def test_a_command_that_cant_be_run_is_refused(given: dict[str, str], says: str) -> None:
    with pytest.raises(OrdealError, match=says):
        own_of(asked(**given))


# --- Services


def test_services_are_named_with_a_port_and_a_path_or_without() -> None:
    said = "shop/front, shop/front:8080/healthz?deep=1,a/b:http,a/c/"
    found = parse(said)
    assert found == (
        FRONT,
        WatchedService("shop", "front", "8080", "/healthz?deep=1"),
        WatchedService("a", "b", "http"),
        WatchedService("a", "c", "", "/"),
    )
    assert ",".join(map(str, found)) == said.replace(" ", "")


@pytest.mark.parametrize("wrong", ["front", "/front", "shop/", "Shop/front", "shop/front:", "shop/front:80 /x", "a/b,"])
def test_what_names_no_service_says_how_one_is_named(wrong: str) -> None:
    with pytest.raises(
        OrdealError, match=r"names no Service: write NAMESPACE/NAME\[:PORT\]\[/PATH\], several joined by"
    ):
        parse(wrong)


def test_one_is_watched_once() -> None:
    with pytest.raises(OrdealError, match="names shop/front twice"):
        parse("shop/front,shop/front")


def port(number: int, name: str | None = None, protocol: str | None = "TCP", app: str | None = None) -> object:
    return SimpleNamespace(port=number, name=name, protocol=protocol, app_protocol=app)


def spec(*ports: object, ip: str | None = "10.96.0.7", kind: str = "ClusterIP") -> object:
    return SimpleNamespace(type=kind, cluster_ip=ip, ports=list(ports) or None)


@pytest.mark.parametrize(
    ("named", "of", "url"),
    [
        ("shop/front", spec(port(80)), "tcp://10.96.0.7:80/"),
        ("shop/front", spec(port(80, "http")), "http://10.96.0.7:80/"),
        ("shop/front", spec(port(80, "http-web")), "http://10.96.0.7:80/"),
        ("shop/front", spec(port(443, "https")), "tcp://10.96.0.7:443/"),
        ("shop/front", spec(port(80, "http", app="kubernetes.io/h2c")), "tcp://10.96.0.7:80/"),
        ("shop/front", spec(port(81, "web", app="http")), "http://10.96.0.7:81/"),
        ("shop/front/healthz", spec(port(80)), "http://10.96.0.7:80/healthz"),
        ("shop/front:81", spec(port(80), port(81, "http")), "http://10.96.0.7:81/"),
        ("shop/front:grpc", spec(port(80, "http"), port(81, "grpc")), "tcp://10.96.0.7:81/"),
        ("shop/front", spec(port(80, "http"), ip="fd00::7"), "http://[fd00::7]:80/"),
        ("shop/front", spec(port(80), kind="LoadBalancer"), "tcp://10.96.0.7:80/"),
    ],
)
def test_a_service_is_asked_as_its_port_says(named: str, of: object, url: str) -> None:
    assert url_of(parse(named)[0], of) == url


@pytest.mark.parametrize(
    ("named", "of", "says"),
    [
        ("shop/front", spec(port(80), ip="None"), "it is headless"),
        ("shop/front", spec(ip=None, kind="ExternalName"), "it is an ExternalName"),
        ("shop/front", spec(port(80, "http"), port(81)), r"name one of its ports, as .*; it has 80 \(http\), 81$"),
        ("shop/front:82", spec(port(80)), "name one of its ports, as .*; it has 80$"),
        ("shop/front", spec(), "name one of its ports, as .*; it has none$"),
        ("shop/front", spec(port(53, protocol="UDP")), "its port 53 is UDP"),
    ],
)
def test_a_service_that_is_no_one_address_is_refused(named: str, of: object, says: str) -> None:
    with pytest.raises(OrdealError, match=f"{watched.OPTION} {named}: {says}"):
        url_of(parse(named)[0], of)


# --- limits


def read(folder: Path, text: str) -> tuple[LimitGiven, ...]:
    path = folder / "limits.yaml"
    path.write_text(text)
    return limits.read(path, (FRONT,))


def test_limits_are_read_by_the_names_of_promises_and_services(tmp_path: Path) -> None:
    text = "outage-at-most: {limit_s: 5}\nnodes_ready_again: {within_s: 0.5}\nshop/front: {limit_s: 1}\n"
    assert read(tmp_path, f"{text}slab-does-not-grow: {{limit_bytes_per_200: 1}}") == (
        LimitGiven(0.0, "outage_at_most", "limit_s", 5.0),
        LimitGiven(0.0, "nodes_ready_again", "within_s", 0.5),
        LimitGiven(0.0, "shop/front", "limit_s", 1.0),
        LimitGiven(0.0, "slab_does_not_grow", "limit_bytes_per_200", 1),
    )


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "gives no limits: write lines such as `outage-at-most: {limit_s: 5}`"),
        ("- outage-at-most", "gives no limits"),
        ("a: [", "can't be read: it is no YAML"),
        (
            "outage-at-last: {limit_s: 5}",
            "there is no promise outage-at-last that has a limit; there are: .*outage-at-most,",
        ),
        ("links-alike: {limit_s: 5}", "there is no promise links-alike that has a limit"),
        ("outage-at-most: {within_s: 5}", "outage-at-most takes a mapping of limit_s to a number"),
        ("outage-at-most: {gap_s: 5}", "outage-at-most takes a mapping of limit_s to a number"),
        ("outage-at-most: 5", "outage-at-most takes a mapping of limit_s to a number"),
        ("outage-at-most: {}", "outage-at-most takes a mapping of limit_s to a number"),
        ("outage-at-most: {limit_s: soon}", "outage-at-most: limit_s is 'soon'; it has to be a number, at least 0"),
        ("outage-at-most: {limit_s: yes}", "limit_s is True; it has to be a number, at least 0"),
        ("outage-at-most: {limit_s: -1}", "limit_s is -1; it has to be a number, at least 0"),
        ("slab-does-not-grow: {limit_bytes_per_200: 18446744073709551615}", "it has to be a whole number, at least 0"),
        ("outage-at-most: {limit_s: .inf}", "can't be read: it holds a number that is infinite"),
        ("slab-does-not-grow: {limit_bytes_per_200: 0.5}", "is 0.5; it has to be a whole number, at least 0"),
        ("shop/back: {limit_s: 1}", "no Service shop/back is watched; watched are: shop/front$"),
        ("shop/front: {within_s: 1}", "shop/front takes a mapping of limit_s to a number"),
    ],
)
def test_a_file_that_says_something_else_is_refused_with_what_there_is(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(OrdealError, match=says):
        read(tmp_path, text)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(OrdealError, match=r"--ordeal-limits .*none\.yaml can't be read: No such file"):
        own_of(asked(limits=tmp_path / "none.yaml"))


# --- limits from the history of runs


def test_limits_come_from_the_history_of_runs_of_the_same_version_and_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    by_history = asked(limits=Path("history:p99"), kubernetes="v1.34.4")
    with pytest.raises(OrdealError, match="there is no history at"):
        own_of(by_history)
    here = str(os.cpu_count())
    few = [past(n, replayed(judged(longest_outage_ms=1000 + n)), cpus=here) for n in range(19)]
    run_history.add(history_file(), few)
    with pytest.raises(OrdealError, match=r"history:p99: the history gives no limit .* 20 are needed"):
        own_of(by_history)
    run_history.add(history_file(), [past(20, replayed(judged(longest_outage_ms=1500)), cpus=here)])
    assert own_of(by_history).limits == (LimitGiven(0.0, "outage_at_most", "limit_s", 1.5),)
    with pytest.raises(OrdealError, match=r"no run of Kubernetes 1\.36\.3"):
        own_of(asked(limits=Path("history:p99"), kubernetes="1.36.3"))
    with pytest.raises(OrdealError, match="say p95 or p99"):
        own_of(asked(limits=Path("history:max")))
    with pytest.raises(OrdealError, match="history limits --kubernetes VERSION"):
        own_of(asked(limits=Path("history:p99"), cluster="existing"))


def test_what_the_history_writes_is_read_as_limits(tmp_path: Path) -> None:
    runs = [past(n, replayed(judged(longest_outage_ms=1000 + n))) for n in range(20)]
    found = limits_from(runs, 99, Basis("1.34.4", "smoke", "2"))
    (tmp_path / "limits.yaml").write_text("\n".join(document(found)))
    assert limits.read(tmp_path / "limits.yaml", ()) == (LimitGiven(0.0, "outage_at_most", "limit_s", 1.02),)
