"""Scripts that make every number in README, and their raw results."""
