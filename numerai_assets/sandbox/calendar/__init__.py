"""When rounds open and close, and the hours at which data and scores appear."""
