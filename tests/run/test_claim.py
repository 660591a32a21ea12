"""A Lease keeps two runs from one cluster, and does not outlast them longer than it must."""

import os
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from chaos.basics.waiting import eventually
from chaos.errors import OrdealError
from chaos.hosts.places import journals_dir
from chaos.record.journal import pending
from chaos.run import claim
from chaos.run.claim import PROCESS, Claim, claimed
from tests.fake_apiserver import FakeApiServer, noted_at


def lease_of(holder: str, process: str, *, ago_s: float = 0.0) -> dict[str, Any]:
    """Renewed so long ago by the API server's clock; by its holder's, which is nobody else's, a year ago."""
    noted = [
        noted_at(datetime.now(UTC) - timedelta(seconds=ago_s + 60)),
        noted_at(datetime.now(UTC) - timedelta(seconds=ago_s)),
    ]
    renewed = (datetime.now(UTC) - timedelta(days=365)).isoformat(timespec="microseconds").replace("+00:00", "Z")
    metadata = {
        "name": "kube-ordeal",
        "resourceVersion": "1",
        "annotations": {PROCESS: process},
        "managedFields": noted,
    }
    return {
        "metadata": metadata,
        "spec": {"holderIdentity": holder, "leaseDurationSeconds": 600, "renewTime": renewed},
    }


def test_a_claim_is_there_for_the_blocks_length(tmp_path: Path) -> None:
    with FakeApiServer(tmp_path) as api:
        with Claim(api.client, "run a"):
            assert api.lease is not None
            assert api.lease["spec"]["holderIdentity"] == "run a"
        assert api.lease is None


def test_another_run_is_refused_and_told_who_has_it(tmp_path: Path) -> None:
    with FakeApiServer(tmp_path) as api, Claim(api.client, "run a of ann on host-1"):
        with pytest.raises(OrdealError, match="the cluster is claimed by run a of ann on host-1: wait for it"):
            Claim(api.client, "run b").__enter__()
        assert api.lease is not None
        assert api.lease["spec"]["holderIdentity"] == "run a of ann on host-1"


def test_who_is_killed_on_this_machine_holds_it_no_longer(tmp_path: Path) -> None:
    dead = subprocess.Popen(["sleep", "60"])
    with FakeApiServer(tmp_path) as api:
        with Claim(api.client, "run a"):
            assert api.lease is not None
            boot = api.lease["metadata"]["annotations"][PROCESS].split()[0]
        started = Path(f"/proc/{dead.pid}/stat").read_text().rpartition(")")[2].split()[19]
        api.lease = lease_of("run a", f"{boot} {dead.pid} {started}")
        with pytest.raises(OrdealError, match="claimed by run a"):
            Claim(api.client, "run b").__enter__()
        dead.kill()
        dead.wait()
        with Claim(api.client, "run b"):
            assert api.lease["spec"]["holderIdentity"] == "run b"


@pytest.mark.parametrize(("ago_s", "free"), [(30.0, False), (598.0, False), (603.0, True)])
def test_who_is_killed_on_another_machine_holds_it_until_it_runs_out(tmp_path: Path, ago_s: float, free: bool) -> None:
    with FakeApiServer(tmp_path) as api:
        api.lease = lease_of("run a", f"another-boot {os.getpid()} 1", ago_s=ago_s)
        if not free:
            with pytest.raises(OrdealError, match="its claim runs out at 2"):
                Claim(api.client, "run b").__enter__()
            return
        with Claim(api.client, "run b"):
            assert api.lease["spec"]["holderIdentity"] == "run b"


def test_a_claim_that_is_taken_away_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claim, "RENEWED_EVERY_S", 0.05)
    told: list[str] = []
    with FakeApiServer(tmp_path) as api:
        with Claim(api.client, "run a", told.append):
            api.lease = lease_of("run b", "x 1 1")
            eventually(lambda: told, within_s=10, what="the loss to be told", every_s=0.02)
        assert told == ["run b"]
        assert api.lease["spec"]["holderIdentity"] == "run b", "nobody gives back what is another one's"


def test_it_is_renewed_and_lasts_through_an_api_server_that_is_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claim, "RENEWED_EVERY_S", 0.05)
    lost: list[str] = []
    with FakeApiServer(tmp_path) as api, Claim(api.client, "run a", lost.append):
        assert api.lease is not None
        first = api.lease["spec"]["renewTime"]
        api.refuse = 503
        eventually(lambda: len(api.requests) > 5, within_s=10, what="it to be tried", every_s=0.02)
        api.refuse = 0
        eventually(lambda: api.lease["spec"]["renewTime"] != first, within_s=10, what="a renewal", every_s=0.02)  # type: ignore[index]
    assert not lost


def test_a_user_who_may_not_claim_is_told_in_one_sentence(tmp_path: Path) -> None:
    with FakeApiServer(tmp_path) as api:
        api.refuse = 403
        with pytest.raises(OrdealError, match="can't be claimed for this run, by a Lease kube-ordeal") as refused:
            Claim(api.client, "run a").__enter__()
    assert "\n" not in str(refused.value)


def test_the_journal_knows_of_a_claim_that_a_killed_run_leaves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    with FakeApiServer(tmp_path) as api:
        with claimed(api.kubeconfig, "fake", "r1", lambda _: None):
            (journal,) = journals_dir().iterdir()
            copy = journal.with_name("r2-claim.jsonl")
            copy.write_bytes(journal.read_bytes())  # as a kill leaves it
            (left,) = pending(journals_dir())
        assert str(left.saved["holder"]).startswith("run r1 of ")
        assert left.cluster.identity is not None
        assert left.cluster.identity.uid == api.uid
    assert [path.name for path in journals_dir().iterdir()] == ["r2-claim.jsonl"]
