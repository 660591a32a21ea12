"""File handles of a node's daemons run out."""
