"""mysql-clock: the clock of one database server goes back and forward again while it serves."""

from contextlib import ExitStack

from chaos.clusters.abilities import NodeExec, NodeNetwork, RunsContainers
from chaos.clusters.shape import stateful_shape
from chaos.hosts.extras import DATABASES
from chaos.judge.data import no_acknowledged_write_lost, served_again_within
from chaos.judge.pods import no_container_restarted
from chaos.run.incident import HARDENED, STATEFUL, incident
from chaos.run.lab import Lab
from chaos.run.promised import Conditions, Judged, judged, says
from chaos.run.stage import LacksAbilityError
from chaos.subjects.mysql.faults import TurnClock
from chaos.subjects.mysql.promises import clock_was_turned, replication_runs
from chaos.subjects.mysql.sampler import MemberWatch, observe_logs, read_back, write_settings
from chaos.subjects.mysql.workload import MySQL, caught_up, kind_of_replication, logs, node_to_ask_from
from chaos.writers.client import Writing

NEEDS = (RunsContainers, NodeExec, NodeNetwork)
SOURCE, REPLICAS = "mysql-0", ("mysql-1", "mysql-2")
BACK_S = (-1.0, -60.0, -3600.0)
HOLD_S = {"smoke": 6.0, "full": 60.0}
PROBED_WITHIN_S = 240.0  # the probe has to fail three times, and the server to end and to start again
SERVED_WITHIN_S = 5.0
CAUGHT_UP_WITHIN_S = 180.0  # a replica does on one disk what the source has done; what is behind is unknown
AFFECTED = "affected-version"
NO_IMAGE = "no image of MySQL 8.0.11 or 8.0.12 was given; --ordeal-mysql-clock-image names one"


def turns_of(control: str | None) -> tuple[float, ...]:
    """A server that can't bear it ends at once: it asks its clock all the time."""
    return BACK_S[1:2] if control == "clock-probe" else BACK_S


def promises(told: Conditions) -> tuple[Judged, ...]:
    return judged(
        says(clock_was_turned, SOURCE, turns_of(told.control)),
        says(no_container_restarted, "mysql"),
        says(served_again_within, "mysql", SERVED_WITHIN_S),
        says(replication_runs, REPLICAS),
        says(no_acknowledged_write_lost, "mysql", members=(SOURCE, *REPLICAS)),
        harm=(TurnClock,),
    )


@incident(
    "mysql-clock",
    on=("kind",),
    needs=NEEDS,
    controls=("clock-probe", AFFECTED),
    shape=STATEFUL,
    images=("mysql",),
    extras=(DATABASES,),
    tour=(HARDENED, "clock-probe"),
    promises=promises,
)
def test_a_server_outlives_its_clock_going_back(lab: Lab) -> None:
    """When the clock of the server that takes the writes goes back by 1 s, 1 min, 1 h, and forward again each time, the
    server MUST stay up and serve, replication MUST go on, and no acknowledged row MUST be lost.
    """
    cluster = lab.cluster(stateful_shape(lab.timers))
    assert isinstance(cluster, NodeNetwork)
    affected = lab.means.images.get("mysql-clock", "")
    if not affected:
        lab.not_run(AFFECTED, NO_IMAGE)
        if lab.control == AFFECTED:
            raise LacksAbilityError(f"control not run: {NO_IMAGE}")
    image = lab.image("mysql", affected if lab.control == AFFECTED else "")
    with ExitStack() as set_up:
        set_up.enter_context(lab.removing_workloads())
        deployed = lab.deploy(MySQL(image, own_clock=True, clock_probe=lab.control == "clock-probe"))
        lab.fact("replication", kind_of_replication(deployed))
        source, *replicas = [f"{deployed.name}-{n}" for n in range(deployed.replicas)]
        hold_s, turns = HOLD_S[lab.profile.name], turns_of(lab.control)
        settings = write_settings(deployed, clients=4, body_bytes=0, per_s=100)
        with lab.record(samplers=(lambda h: MemberWatch(h, deployed),)) as history:
            writing = Writing(cluster, history, node_to_ask_from(cluster), deployed.name, "mysql", settings)
            with writing:
                for offset_s in turns:
                    with lab.inject(TurnClock(deployed.namespace, source, offset_s)):
                        lab.hold(hold_s, f"{source} writes with its clock {offset_s:g} s off")
                        if lab.control == "clock-probe":
                            lab.hold_until_shown(no_container_restarted(deployed.name), within_s=PROBED_WITHIN_S)
                    lab.hold(hold_s / 2, "with the right clock again")
            lab.fact("acknowledged", writing.acknowledged)
            lab.recover(lambda: caught_up(deployed), within_s=CAUGHT_UP_WITHIN_S, what="every member has every row")
            read_back(history, deployed)
            observe_logs(history, logs(deployed))
        lab.expect(
            history,
            clock_was_turned(source, turns),
            no_container_restarted(deployed.name),
            served_again_within(deployed.name, SERVED_WITHIN_S),
            replication_runs(replicas),
            no_acknowledged_write_lost(deployed.name, members=[source, *replicas]),
        )
