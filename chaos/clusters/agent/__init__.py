"""Nodes that somebody else made, reached by an agent on each of them."""
