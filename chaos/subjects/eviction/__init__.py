"""A node's image file system fills up, and its kubelet evicts."""
