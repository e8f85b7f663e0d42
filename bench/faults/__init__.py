"""Faults that a running service must survive, each with servers of its own. `bench/faults/run` runs them."""
