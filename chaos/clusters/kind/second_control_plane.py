"""The static pods of a second control plane, beside the first one's on the same etcd."""

from chaos.clusters.kind.config import Manifest
from chaos.clusters.shape import Timers

SECOND_PORT = 7443


def second_static_pod(pod: Manifest, part: str, timers: Timers, controllers: str) -> Manifest:
    """The static pod of a second control plane made from the first one's: other name, other ports, other flags."""
    settings = {
        "kube-apiserver": {"secure-port": str(SECOND_PORT), **timers.apiserver_flags()},
        "kube-controller-manager": {
            "secure-port": "20257",
            "kubeconfig": "/etc/kubernetes/controller-manager-second.conf",
            "authentication-kubeconfig": "/etc/kubernetes/controller-manager-second.conf",
            "authorization-kubeconfig": "/etc/kubernetes/controller-manager-second.conf",
            "controllers": controllers,
            **timers.controller_manager_flags(),
        },
        "kube-scheduler": {
            "secure-port": "20259",
            "kubeconfig": "/etc/kubernetes/scheduler-second.conf",
            "authentication-kubeconfig": "/etc/kubernetes/scheduler-second.conf",
            "authorization-kubeconfig": "/etc/kubernetes/scheduler-second.conf",
        },
    }[part]
    spec = pod["spec"]
    container = spec["containers"][0]
    program, *flags = container["command"]
    kept = [f for f in flags if f.lstrip("-").split("=", 1)[0] not in settings]
    moved = [f"--{name}={value}" for name, value in settings.items()]
    container = {k: v for k, v in container.items() if not k.endswith("Probe")}
    container["command"] = [program, *kept, *moved]
    container["ports"] = []
    volumes = [
        {**v, "hostPath": {**v["hostPath"], "path": v["hostPath"]["path"].replace(".conf", "-second.conf")}}
        if v.get("hostPath", {}).get("path", "").endswith(".conf")
        else v
        for v in spec["volumes"]
    ]
    container["volumeMounts"] = [
        {**m, "mountPath": m["mountPath"].replace(".conf", "-second.conf")} for m in container["volumeMounts"]
    ]
    name = pod["metadata"]["name"] + "-second"
    labels = {"component": f"{part}-second", "tier": "control-plane"}
    return {
        **pod,
        "metadata": {"name": name, "namespace": "kube-system", "labels": labels},
        "spec": {**spec, "containers": [container], "volumes": volumes},
    }
