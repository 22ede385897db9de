"""The disk: era store, column store, prediction store, vintage store, ledger.

May import `panel`, `eras`, `errors`, `settings`. Every file is written under a temporary name, verified, then renamed: a
file under its final name is complete. Knows arrays and files, not networks and not Dagster.
"""
