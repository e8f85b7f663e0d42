"""What `bench/compare` and `bench/instructions` share."""
