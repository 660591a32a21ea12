"""One link between two nodes is bad."""
