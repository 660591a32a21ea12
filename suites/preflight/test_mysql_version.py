"""mysql-clock, before any harm: which MySQL servers there are, and whether a clock that goes back would end them."""

from contextlib import ExitStack

from chaos.clusters.abilities import LoadsImages
from chaos.clusters.base import EXISTING
from chaos.clusters.shape import Shape, stateful_shape
from chaos.run.incident import STATEFUL, incident
from chaos.run.lab import Lab
from chaos.run.promised import Conditions, Judged, judged, says
from chaos.run.stage import LacksAbilityError
from chaos.subjects.mysql.named import Named
from chaos.subjects.mysql.promises import server_version_not_affected
from chaos.subjects.mysql.versions import read_image, read_of, read_running

AFFECTED_IMAGE = "localhost/kube-ordeal-never-pulled/mysql:8.0.12"


def promises(_: Conditions) -> tuple[Judged, ...]:
    return judged(says(server_version_not_affected))


@incident(
    "mysql-clock",
    on=("kind",),
    controls=("named-version",),
    variant="preflight",
    shape=STATEFUL,
    images=("mysql",),
    promises=promises,
)
def test_no_server_is_of_an_affected_version(lab: Lab) -> None:
    """No MySQL server of the cluster, and none that these suites would run, SHOULD be of a version that ends when its
    clock goes back.
    """
    existing = lab.cluster_kind == EXISTING
    cluster = lab.cluster(Shape(workers=2, timers=lab.timers) if existing else stateful_shape(lab.timers))
    with ExitStack() as set_up:
        if lab.control == "named-version":
            set_up.enter_context(lab.removing_workloads())
            lab.deploy(Named(AFFECTED_IMAGE))  # never pulled, never run: the preflight reads what the API says
        with lab.record() as history:
            read_running(cluster, history)
            if isinstance(cluster, LoadsImages):
                read_image(lab.image("mysql"), history)
    if existing and not read_of(history):
        raise LacksAbilityError("no pod of this cluster names an image of MySQL with its version")
    lab.table("servers", [{"server": each.server, "version": each.text} for each in read_of(history)])
    lab.expect(history, server_version_not_affected())
