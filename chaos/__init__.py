"""kube-ordeal: replay published Kubernetes incidents and judge the cluster's promises."""
