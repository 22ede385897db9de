"""Look-alike trajectories: for each row the most similar rows of earlier eras, and inputs built from them."""
