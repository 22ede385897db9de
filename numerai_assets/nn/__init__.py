"""Shared by all nets: era loading, losses, the training loop, graph learning, weights on disk.

May import torch, `evaluation`, `panel`, `eras`, `errors`, `progress`. Takes panels and arrays, never stores.
"""
