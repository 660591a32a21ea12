"""UDP flows that are translated to a Service's endpoints, and go on when those are others."""
