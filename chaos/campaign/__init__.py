"""A campaign: many single edits of what etcd stores, each on a workload of its own, and what came of each."""
