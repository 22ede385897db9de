"""Look-alike trajectories: the rows of earlier eras most like a row, and inputs built along them."""
