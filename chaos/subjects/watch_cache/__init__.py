"""What the API server's watch cache shows, against what etcd holds."""
