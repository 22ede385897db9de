"""The disk: era store, prediction store, vintages.

May import `eras`, `errors` and `settings`. Everything is written aside, verified, then renamed: what lies under its
final name is whole. Knows arrays and files, not networks and not Dagster.
"""
