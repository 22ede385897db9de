"""One world on disk: its recipe, its history of eras, its rivals, and the release of each round."""
