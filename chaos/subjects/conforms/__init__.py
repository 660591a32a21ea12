"""A cluster still conforms after harm."""
