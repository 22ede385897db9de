"""Exposures to feature groups, peer groups of rows, and momentum between groups."""
