"""Opening and closing of rounds, and the hours at which data and scores appear."""
