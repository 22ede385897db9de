"""Blocks that are computed once per era from that era, earlier eras, and targets that had resolved by then."""
