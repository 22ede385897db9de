"""What the neural methods share: era loading, graph learning, weights on disk.

May import torch, `evaluation`, `panel`, `eras`, `errors`, `progress`. Takes panels and arrays, never stores.
"""
