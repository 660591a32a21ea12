"""An API server starts while its etcd does not answer: whether it gets there, or ends itself."""
