"""A cluster is upgraded in place."""
