"""LightGBM and XGBoost over int8 panels: bins, training, permutation, era objectives, training on a Dask cluster.

May import `evaluation`, `panel`, `eras`, `errors`, `progress`. Takes panels and arrays, never stores.
"""
