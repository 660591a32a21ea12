"""An etcd campaign: single edits of stored objects on a running workload, and which promise names the harm they do.

It replays no incident, and is run only where it is named: see docs/campaign.md.
"""

import time
from collections.abc import Sequence

import msgspec
import pytest

from chaos.basics.files import place
from chaos.campaign.batch import CampaignMeans
from chaos.campaign.campaign import AT_ONCE, Campaign
from chaos.campaign.edits import sample
from chaos.campaign.judged import digest
from chaos.campaign.outcome import Result, counts
from chaos.campaign.table import page
from chaos.clusters.base import SIMULATED
from chaos.clusters.shape import Shape
from chaos.clusters.simulated.cluster import SimulatedCluster
from chaos.results.results import machine_facts
from chaos.session.run import Run


def test_harm_by_edits_of_what_is_stored_is_named(request: pytest.FixtureRequest, ordeal_run: Run) -> None:
    """When one field of a stored object is edited, a promise SHOULD name the harm, and MUST name none that is not."""
    option = request.config.getoption
    size, seed = option("--ordeal-campaign-sample"), option("--ordeal-campaign-seed")
    minutes = option("--ordeal-campaign-minutes")
    named = f"--ordeal-campaign-sample {size} --ordeal-campaign-seed {seed} --ordeal-campaign-minutes {minutes:g}"
    edits, frozen = sample(size, seed), digest()
    began, within_s = time.monotonic(), 60 * minutes
    shape = Shape(workers=AT_ONCE + 1, timers=ordeal_run.profile.simulated_timers)

    def took_s() -> float:
        return time.monotonic() - began

    def means() -> CampaignMeans:
        cluster = ordeal_run.pool.acquire(SIMULATED, shape)
        assert isinstance(cluster, SimulatedCluster)
        return CampaignMeans(cluster, ordeal_run.journal, ordeal_run.id, ordeal_run.report)

    def text(results: Sequence[Result]) -> str:
        facts = {
            "command": f"`pytest suites/campaign {named}`",
            "run": f"{ordeal_run.id}, {len(results)} of {len(edits)} edits in {took_s() / 60:.0f} min",
            "promises": f"frozen before the first edit, SHA-256 {frozen[:16]}",
            "Kubernetes": ordeal_run.pool.kubernetes,
            "machine": ", ".join(f"{name} {value}" for name, value in machine_facts().items()),
        }
        return page(results, facts)

    def save(results: Sequence[Result]) -> None:
        folder = ordeal_run.results.directory
        place(folder / "campaign.json", msgspec.json.encode(list(results)).decode())
        place(folder / "campaign.md", text(results))

    campaign = Campaign(
        means, lambda: ordeal_run.pool.take_down(SIMULATED), lambda share: took_s() > share * within_s, save
    )
    ordeal_run.report(f"a campaign of {len(edits)} edits, seed {seed}; promises {frozen[:16]}")
    results = campaign.run(edits)
    ordeal_run.report(text(results))
    assert digest() == frozen, "a promise was changed while the campaign ran"
    assert results, "no edit was tried"
    assert not counts(results)["false alarms"], "harm was named where there was none"
