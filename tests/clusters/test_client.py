"""The way to a cluster: whatever kubectl can use works, and what it can't is one sentence before anything is sent."""

from pathlib import Path

import pytest

from chaos.clusters.client import api_client, server_version
from chaos.errors import OrdealError
from tests.clusters.ways import ALL, Way, authorization, write
from tests.fake_apiserver import FakeApiServer


@pytest.mark.parametrize("way", ALL.values(), ids=ALL)
def test_a_kubeconfig_works_or_is_one_sentence(way: Way, tmp_path: Path) -> None:
    with FakeApiServer(tmp_path, tls=True) as api:
        api.accepts, api.prefix = authorization(way), way.prefix
        kubeconfig = write(way, api.config, tmp_path)
        try:
            with api_client(kubeconfig) as client:
                said = server_version(client)
        except OrdealError as error:
            said = str(error)
    assert way.says in said, said
    assert "\n" not in said
    assert (said == "1.34.4") == (not way.says), said
    if not way.says:
        assert api.asked[-1].certificate == way.certificate
