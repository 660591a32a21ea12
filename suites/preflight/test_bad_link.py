"""bad-link: every link between nodes measured before anything is trusted to it, and a bad one found by its name."""

from contextlib import nullcontext

from chaos.clusters.abilities import NodeNetwork, RunsContainers
from chaos.clusters.base import KIND
from chaos.clusters.shape import Shape, stateful_shape
from chaos.harm.link import BadLink
from chaos.hosts.parts import FIREWALL, LOSS, THROTTLING
from chaos.run.fit import fit_workers, require_nodes
from chaos.run.incident import STATEFUL, Load, incident
from chaos.run.lab import Lab
from chaos.run.promised import Conditions, Judged, exactly, judged, says, workers_of
from chaos.subjects.links.iperf import Iperf
from chaos.subjects.links.promises import bad_pair_found, links_alike
from chaos.subjects.links.sampler import DEFAULT, LAYERS, LOOSE, matrix, measure_links

MEASURE_S = {"smoke": 1.0, "full": 10.0}
SLOW_BITS_PER_S = 1_000_000
LOST = 0.03
# A link stands out from three others. One that is bad may have no result itself, and counts for none then.
LEAST_NODES, LEAST_WITH_A_BAD_LINK = 3, 4


PAIR = exactly("the last two workers, by name", lambda history: workers_of(history)[-2:])


def promises_of_preflight(told: Conditions) -> tuple[Judged, ...]:
    return judged(says(links_alike, suspect=PAIR), harm=(BadLink,) if told.control == "bad-pair" else ())


def promises_of_one_bad(told: Conditions) -> tuple[Judged, ...]:
    limits = LOOSE if told.control == "loose-limit" else DEFAULT
    return judged(says(bad_pair_found, PAIR, limits), harm=(BadLink,))


@incident(
    "bad-link",
    on=("kind",),
    needs=(RunsContainers, NodeNetwork),
    host=(THROTTLING,),
    controls=("bad-pair",),
    shape=STATEFUL,
    load=Load.ALONE,
    images=("iperf3",),
    promises=promises_of_preflight,
)
def test_the_links_between_nodes_are_alike(lab: Lab) -> None:
    """No pair of nodes MUST stand out by throughput, loss or round-trip time, node to node or pod to pod."""
    require_nodes(lab.cluster(shape_of(lab)), LEAST_WITH_A_BAD_LINK if lab.control else LEAST_NODES)
    iperf, pair = lab.deploy(Iperf(lab.image("iperf3"))), two_workers(lab)
    slow = BadLink(pair[0], (pair[1],), rate_bits_per_s=SLOW_BITS_PER_S)
    with lab.record() as history, lab.inject(slow) if lab.control == "bad-pair" else nullcontext():
        measure_links(iperf, history, for_s=MEASURE_S[lab.profile.name])
    for layer in LAYERS:
        lab.table(f"{layer} to {layer}", matrix(history, layer))
    lab.expect(history, links_alike(suspect=pair))


@incident(
    "bad-link",
    on=("kind",),
    needs=(RunsContainers, NodeNetwork),
    host=(FIREWALL, LOSS, THROTTLING),
    controls=("loose-limit",),
    variant="one pair is bad",
    shape=STATEFUL,
    load=Load.ALONE,
    images=("iperf3",),
    promises=promises_of_one_bad,
)
def test_a_bad_link_is_found(lab: Lab) -> None:
    """When one pair of nodes loses packets, the preflight MUST name that pair, and no other."""
    require_nodes(lab.cluster(shape_of(lab)), LEAST_WITH_A_BAD_LINK)
    iperf, pair = lab.deploy(Iperf(lab.image("iperf3"))), two_workers(lab)
    loose = lab.control == "loose-limit"  # misses even a link that is slow as well
    bad = BadLink(pair[0], (pair[1],), rate_bits_per_s=SLOW_BITS_PER_S if loose else 0, loss=LOST)
    with lab.record() as history, lab.inject(bad):
        measure_links(iperf, history, for_s=MEASURE_S[lab.profile.name])
    for layer in LAYERS:
        lab.table(f"{layer} to {layer}", matrix(history, layer))
    lab.expect(history, bad_pair_found(pair, LOOSE if loose else DEFAULT))


def shape_of(lab: Lab) -> Shape:
    """That of all stateful suites; an existing cluster is taken as it is."""
    return stateful_shape(lab.timers) if lab.cluster_kind == KIND else Shape(timers=lab.timers)


def two_workers(lab: Lab) -> tuple[str, str]:
    """The link that is made bad: between the last two workers, by name. The others can be told from it."""
    *_, one, other = fit_workers(lab.current, least=2)
    return one.name, other.name
