"""Pure transforms of an era (or a run of eras) into new columns.

May import `store.panel`, `eras` and `errors`. Arrays in, arrays out: no files, no networks, no clocks, no Dagster. What is
learned (`mixing`, `selection`) may also import `methods.nn`, `methods.lightgbm_bins` and the scores of `evaluation`, none
of which imports features, and writes and reads the folder that `save` and `load` are given.
"""
