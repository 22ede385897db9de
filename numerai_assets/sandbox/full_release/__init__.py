"""A release in the full shape of v5.3, for tests and benchmarks of scale."""
