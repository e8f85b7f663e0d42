"""Code shared by `bench/compare`, `bench/instructions` and the other benchmarks."""
