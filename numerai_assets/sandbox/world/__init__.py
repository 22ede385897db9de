"""One world on disk: its recipe, its history of eras, rivals, and what is published for each round."""
