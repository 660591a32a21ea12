"""Checking clients: each writes numbered rows to a store and says which of them were acknowledged."""
