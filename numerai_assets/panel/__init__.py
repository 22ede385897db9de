"""What flows between the rooms: the era panel, the history it can answer for, target transforms, Gram products.

May import `eras`, `errors`, `progress`. Arrays over memory or memory-mapped files; knows no folder layout of the store.
"""
