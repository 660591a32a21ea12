"""What one pytest run has once: its journal, its clusters, its results."""

from dataclasses import replace
from pathlib import Path

import pytest

from chaos.clusters.base import EXISTING
from chaos.clusters.existing import cluster as existing
from chaos.clusters.way import kubeconfig_files
from chaos.errors import OrdealError
from chaos.harm import load_all
from chaos.hosts.bundles import normal_version
from chaos.hosts.places import journals_dir
from chaos.plugin import run_id, worker_input
from chaos.record.journal import Journal
from chaos.results.results import Results
from chaos.results.saved import load
from chaos.run import undo
from chaos.run.live import View
from chaos.run.options import Options, options_of
from chaos.run.pool import Pool, Wishes
from chaos.run.profile import find as find_profile
from chaos.run.turn import Turn
from chaos.session import planning, stopwatch, telling
from chaos.session.showing import SHOWING


class Run:
    """The run: journal, clusters, results. What earlier runs left behind is undone first."""

    def __init__(self, config: pytest.Config) -> None:
        """Raises OrdealError where the machine, or the cluster that was named, does not allow for it."""
        load_all()
        self.options = asked = options_of(config)
        self.profile = find_profile(asked.profile)
        self.id = run_id(config)
        shown = config.stash.get(SHOWING, None)
        self.view = View(telling.stdout(config), shown.progress.line if shown else str)
        self.report = telling.reporter(config, self.view)
        self.took_before_s = _took_before(asked.results)
        wishes, worker = wishes_of(asked), worker_input(config, "workerid")
        if worker:  # its clusters are its own
            wishes = replace(wishes, name=f"{wishes.name or 'ordeal'}-{worker}")
        if wishes.kubeconfig is not None:
            where = f"the context {wishes.context!r} of {wishes.kubeconfig}"
            telling.reporter(config, always=True)(f"the cluster is that of {where}")
            existing.check(wishes.kubeconfig, wishes.context)  # no use in going on with one that can't be used
        undo.require_nothing_left(self.id, "give --ordeal-undo")
        undo.undo_all(self.report, undo.Allowed(run=self.id))
        self.results = Results(
            asked.results,
            self.id,
            {
                "cluster": asked.cluster,
                "profile": self.profile.name,
                "kubernetes": wishes.kubernetes,
                "controls": "yes" if asked.controls else "no",
            },
        )
        planning.note(config, self.results)
        self.journal = Journal(journals_dir() / f"{self.id}{'-' if worker else ''}{worker}.jsonl")
        self.pool = Pool(wishes, self.journal, self.id, self.report)
        self.turn = Turn(self.results.directory) if worker else None
        self.stopwatch = stopwatch.Stopwatch(wishes.kubernetes, self.profile.name, self._waited_s)

    def _waited_s(self) -> tuple[float, float]:
        return self.pool.waited_s, self.turn.waited_s if self.turn is not None else 0.0

    def close(self) -> None:
        """Take the clusters down and let go of the journal."""
        try:
            self.pool.close()
        finally:
            self.journal.close()
            if self.turn is not None:
                self.turn.give_back()


def wishes_of(asked: Options) -> Wishes:
    """What the options say of clusters. Raises OrdealError where an existing one is not found."""

    def absolute(path: Path | None) -> Path | None:
        return None if path is None else path.absolute()

    used, context = kubeconfig_files.find(asked.kubeconfig, asked.context) if asked.cluster == EXISTING else (None, "")
    return Wishes(
        kubernetes=normal_version(asked.kubernetes),
        name=asked.cluster_name,
        keep=asked.keep_cluster,
        kubeconfig=used,
        context=context,
        kind_image=asked.kind_image,
        kind_bin=absolute(asked.kind_bin),
        kubectl_bin=absolute(asked.kubectl_bin),
        busybox_image=asked.busybox_image,
    )


def _took_before(root: Path) -> dict[str, float]:
    """How long each replay took in the run before this one, in seconds."""
    try:
        return {o.test: o.duration_s for o in load(root).outcomes if o.ended}
    except OrdealError:  # there is none, or another version's
        return {}
