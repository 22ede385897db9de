"""What a release looks like: feature and target names, encoding, bins, file layout, sizes."""
