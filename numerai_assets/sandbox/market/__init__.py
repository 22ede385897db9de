"""Markets of the sandbox: the synthetic one, and, in `prices`, one made from a daily price panel."""
