"""A market made from a daily price panel: characteristics, windows, targets."""
