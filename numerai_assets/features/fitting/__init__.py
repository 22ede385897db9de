"""Shared by learned blocks: training eras, resolved targets, cross-fitting, levels and correlations."""
