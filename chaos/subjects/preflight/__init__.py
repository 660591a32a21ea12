"""What a node must be made of, and what containers leave behind on it."""
