"""The format of releases: feature and target names, encoding, bins, file layout, sizes."""
