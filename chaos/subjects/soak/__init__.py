"""What components keep of each thing that they do: their live heap, their goroutines, what they read from etcd."""
