"""What other systems are told of a run: traces of its replays, figures for Prometheus. junit.xml is in `results/`."""
