"""Pure transforms of an era (or a run of eras) into new columns.

May import `store.panel`, `progress`, `eras` and `errors`, and of `evaluation.neutralisation` the exact Gram matrix. Arrays
in, arrays out: no files, no networks, no clocks, no Dagster. What is learned (`mixing`, `selection`, ...) may also import
`methods.nn`, `methods.lightgbm_bins`, `methods.permuted_trees` and the scores of `evaluation`, none of which imports
features, and writes and reads the folder that `save` and `load` are given.
"""
