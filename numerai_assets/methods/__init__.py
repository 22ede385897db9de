"""The estimators, one module a method; `registry` is the list of them.

May import `features`, `store.panel`, `store.cache`, `eras` and `errors`; `registry` also `settings`, `search` the scores of
`evaluation`. Methods know arrays and eras, not files of the store, networks or Dagster; they write and read only the folder
that `save` and `load` are given, and the cache that a panel brings along. `cluster` is the one that talks to other machines,
`search` the one that keeps a study.
"""
