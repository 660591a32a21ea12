"""A node's hostname changes."""
