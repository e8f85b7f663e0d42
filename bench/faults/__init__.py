"""Faults that a running service must survive, each with its own servers. `bench/faults/run` runs them."""
