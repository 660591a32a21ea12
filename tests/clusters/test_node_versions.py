"""What a node is given of another version's images."""

from chaos.clusters.kind.node_versions import wanted

IMAGES = {
    "localhost/kube-ordeal/flannel:v1",
    "registry.k8s.io/coredns/coredns:v1.13.1",
    "registry.k8s.io/etcd:3.6.6-0",
    "registry.k8s.io/kube-apiserver:v1.35.4",
    "registry.k8s.io/kube-proxy:v1.35.4",
    "registry.k8s.io/pause:3.10.2",
}


def test_a_control_plane_is_given_all_and_a_worker_what_it_can_be_asked_to_run() -> None:
    assert wanted(IMAGES, control_plane=True) == tuple(sorted(IMAGES))
    assert wanted(IMAGES, control_plane=False) == (
        "registry.k8s.io/coredns/coredns:v1.13.1",
        "registry.k8s.io/kube-proxy:v1.35.4",
        "registry.k8s.io/pause:3.10.2",
    )
