"""chaos/record/leases.py: how old a lease is, whatever is done to this machine's clock."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from kubernetes import client as k8s

from chaos.clusters.way.server_clock import answered_at
from chaos.errors import OrdealError
from chaos.record.leases import LeaseAge, Renewals, lease_ages
from tests.fake_apiserver import FakeApiServer

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
HOUR_S = 3600.0


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def test_a_renewal_is_when_the_node_says_where_that_is_between_two_looks() -> None:
    """The history began at noon by both clocks."""
    renewals = Renewals()
    assert renewals.look({"w": at(-3)}, 0.5, 0.6, at(0.6)) == {"w": pytest.approx(-3)}
    assert renewals.look({"w": at(-3)}, 1.5, 1.6, at(1.6)) == {"w": pytest.approx(-3)}
    assert renewals.look({"w": at(2.2)}, 2.5, 2.6, at(2.6)) == {"w": pytest.approx(2.2)}


@pytest.mark.parametrize("set_by_s", [HOUR_S, -2 * HOUR_S])
def test_what_was_renewed_before_this_machines_clock_was_set_stays_so_old(set_by_s: float) -> None:
    renewals = Renewals()
    renewals.look({"w": at(-3)}, 0.5, 0.6, at(0.6))
    assert renewals.look({"w": at(-3)}, 1.5, 1.6, at(1.6 + set_by_s)) == {"w": pytest.approx(-3)}


@pytest.mark.parametrize("set_by_s", [HOUR_S, -2 * HOUR_S])
def test_a_renewal_after_it_was_set_counts_from_the_look_before(set_by_s: float) -> None:
    renewals = Renewals()
    renewals.look({"w": at(-3)}, 0.5, 0.6, at(0.6))
    renewals.look({"w": at(-3)}, 1.5, 1.6, at(1.6 + set_by_s))
    assert renewals.look({"w": at(2.2)}, 2.5, 2.6, at(2.6 + set_by_s)) == {"w": 1.5}


@pytest.mark.parametrize("set_by_s", [HOUR_S, -2 * HOUR_S])
def test_where_the_nodes_have_that_clock_too_it_is_known_as_well_as_before(set_by_s: float) -> None:
    renewals = Renewals()
    renewals.look({"w": at(-3)}, 0.5, 0.6, at(0.6))
    seen = renewals.look({"w": at(2.2 + set_by_s)}, 2.5, 2.6, at(2.6 + set_by_s))
    assert seen == {"w": pytest.approx(2.2)}


def test_a_lease_that_seems_to_be_of_the_future_at_first_is_no_renewal_that_was_seen() -> None:
    assert Renewals().look({"w": at(7200)}, 0.5, 0.6, at(0.6)) == {"w": 0.0}


def listed(monkeypatch: pytest.MonkeyPatch, headers: dict[str, str], *leases: Any) -> dict[str, LeaseAge]:
    answer = SimpleNamespace(data=msgspec.json.encode({"items": leases}), headers=headers)
    api = SimpleNamespace(list_namespaced_lease=lambda *_, **__: answer)
    monkeypatch.setattr(k8s, "CoordinationV1Api", lambda _: api)
    client: Any = SimpleNamespace(configuration=SimpleNamespace(host="https://there"))
    return lease_ages(client)


def lease(name: str, **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": spec}


def test_ages_are_by_the_api_servers_clock_which_tells_whole_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    renewed = lease("w1", renewTime="2026-01-01T11:59:50.250000Z", leaseDurationSeconds=20)
    never = lease("w2")
    ages = listed(monkeypatch, {"Date": "Thu, 01 Jan 2026 12:00:00 GMT"}, renewed, never)
    assert ages == {"w1": LeaseAge(9.75, 10.75, 20.0)}


@pytest.mark.parametrize("headers", [{}, {"Date": "noon"}])
def test_an_answer_without_a_date_tells_no_age(headers: dict[str, str]) -> None:
    with pytest.raises(OrdealError, match="for its date, so how old a lease is can't be told"):
        answered_at(headers)


def test_ages_of_a_real_answer(tmp_path: Path) -> None:
    with FakeApiServer(tmp_path) as api, api.client() as client:
        assert lease_ages(client) == {}
