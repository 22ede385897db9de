"""Metrics, uncertainty, diagnostics and plots: what judges predictions.

May import `store.panel`, `eras` and `errors`. Arrays and small frames in and out; nothing here reads a file.
"""
