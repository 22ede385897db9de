"""What learned blocks share: training eras, cross-fitting, levels and correlations."""
