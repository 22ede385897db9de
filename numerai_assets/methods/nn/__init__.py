"""What the neural methods share. May import torch, `features`, `store.panel`, `store.mapped`, `eras` and `errors`."""
