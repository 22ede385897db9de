"""Pure transforms of an era (or a run of eras) into new columns.

May import `store.panel`, `eras` and `errors`. Arrays in, arrays out: no files, no networks, no clocks, no Dagster.
"""
