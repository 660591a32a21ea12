"""A control that needs an image of the user's is run with that image, or said not to be run."""

from typing import Any

import pytest

from chaos.errors import OrdealError
from chaos.toolkit import actions
from chaos.toolkit.session import SESSION
from chaos.workloads.web import Deployed
from tests.toolkit.fakes import FakeCluster

IMAGES = {"hardened": "mine/mysql:8.0.36", "affected-version": ""}


def test_a_control_without_its_image_is_not_run(cluster: FakeCluster) -> None:
    asked = {"incident": "mysql-clock", "control": "affected-version"}
    with pytest.raises(OrdealError, match="control not run: affected-version: no image was given for it"):
        actions.deploy_mysql(own_clock=True, image=IMAGES, configuration=asked)


def test_the_verdict_says_which_control_was_not_run(cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    fake: Any = cluster
    deployed = Deployed("mysql", "ns", "", 3, fake)
    monkeypatch.setattr(SESSION, "deploy", lambda _: deployed)
    monkeypatch.setattr(actions, "members", lambda _: ())
    monkeypatch.setattr(actions, "kind_of_replication", lambda _: "by GTIDs")
    actions.deploy_mysql(own_clock=True, image=IMAGES, configuration={"incident": "mysql-clock"})
    outcome = SESSION.verdict()
    assert outcome.why.endswith("; control not run: affected-version (no image was given for it)")
    assert SESSION.lab.facts["replication"] == "by GTIDs"
