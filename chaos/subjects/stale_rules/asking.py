"""What a node's rules and its kube-proxy are asked."""

import re
import sys
from typing import Any, Protocol

import msgspec
from kubernetes import client as k8s

from chaos.clusters.abilities import NodeExec, NodeNetwork
from chaos.clusters.base import Cluster
from chaos.harm.daemon import process_state
from chaos.hosts.command import run

FAILURES = "kubeproxy_sync_proxy_rules_iptables_restore_failures_total"
ASKED_WITHIN_S = 20.0
RULES = "iptables-save -t nat; nft list table ip kube-proxy 2>/dev/null || true"
# Runs in the node's network, where kube-proxy listens on the loopback (its ports: pkg/cluster/ports/ports.go).
ASK = """
import json, sys, urllib.request, urllib.error

def get(port, path):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError:
        return 0, ""

health, metrics = get(10256, "/healthz")[0], get(10249, "/metrics")[1]
lines = [line for line in metrics.splitlines() if line.startswith(sys.argv[1])]
failures = sum(int(float(line.rpartition(" ")[2])) for line in lines)
print(json.dumps({"health": health, "failures": failures, "mode": get(10249, "/proxyMode")[1]}))
"""


class OnNode(Cluster, NodeExec, NodeNetwork, Protocol):
    """A cluster whose nodes can be asked."""


class ProxySaid(msgspec.Struct, frozen=True):
    """What a kube-proxy says: the code of its /healthz, 0 without an answer; its failures to write rules; its mode."""

    health: int
    failures: int
    mode: str


def ask(cluster: OnNode, node: str) -> ProxySaid:
    """Ask a node's kube-proxy. Raises CommandError where nobody could ask."""
    argv = [sys.executable, "-I", "-S", "-c", ASK, FAILURES]
    return msgspec.json.decode(run(cluster.in_network_of(node, argv), timeout_s=ASKED_WITHIN_S).out, type=ProxySaid)


def kernel_says(cluster: OnNode, node: str) -> tuple[str, str]:
    """The state of a node's kube-proxy, and when it was started; both empty where there is none."""
    pids = cluster.node_exec(node, ["pidof", "-s", "kube-proxy"], check=False).out.split()
    return process_state(cluster, node, int(pids[0])) if pids else ("", "")


def written(cluster: OnNode, node: str, namespace: str, service: str) -> tuple[str, ...]:
    """The addresses to which a node's rules lead from a Service, whichever of its modes kube-proxy has."""
    said = cluster.node_exec(node, ["sh", "-c", RULES], timeout_s=ASKED_WITHIN_S).out
    return addresses(said, namespace, service)


def addresses(said: str, namespace: str, service: str) -> tuple[str, ...]:
    """The same of what iptables-save and nft say: the chains of endpoints, and what a Service's chain goes to."""
    whose = re.escape(f"{namespace}/{service}")
    of_iptables = rf'^-A KUBE-SEP-\S+ .*--comment "?{whose}(?::[^\s"]*)?"? .*--to-destination ([\d.]+)'
    of_nftables = rf"goto endpoint-\w+-{whose}/\S*?__([\d.]+)/"
    return tuple(sorted({*re.findall(of_iptables, said, re.MULTILINE), *re.findall(of_nftables, said)}))


def wanted(cluster: Cluster, namespace: str, service: str) -> dict[str, str]:
    """The ready endpoints of a Service as the API has them: by address the pod's name. Raises ApiException."""
    with cluster.api() as client:
        found: Any = k8s.DiscoveryV1Api(client).list_namespaced_endpoint_slice(
            namespace, label_selector=f"kubernetes.io/service-name={service}"
        )
    return {
        address: each.target_ref.name if each.target_ref else ""
        for part in found.items
        for each in part.endpoints or []
        if each.conditions is None or each.conditions.ready is not False
        for address in each.addresses
    }
