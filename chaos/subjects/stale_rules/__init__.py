"""Rules of a node that lead to endpoints, and can't be written any more."""
