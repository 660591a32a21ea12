module kube-ordeal/pause

go 1.24.0
