"""The disk: era store, column store, prediction store, vintage store, ledger.

May import `panel`, `eras`, `errors`, `settings`. Every file is written aside, verified, then renamed: a file under its
final name is whole. Knows arrays and files, not networks and not Dagster.
"""
