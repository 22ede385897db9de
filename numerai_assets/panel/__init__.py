"""Data passed between packages: the era panel and its history, target transforms, Gram products.

May import `eras`, `errors`, `progress`. Arrays over memory or memory-mapped files; knows no folder layout of the store.
"""
