"""Filling of missing feature values: per-feature statistics, or the nearest rows of the same era."""
