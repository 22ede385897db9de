"""The estimators: one module or package per method; `registry` lists them, `contract` says what a method is.

May import `features`, `trees`, `nn`, `evaluation`, `panel`, `eras`, `errors`; `registry` also `settings`. Methods never
import each other. They know arrays and eras, not stores, networks or Dagster; they write and read only the folder that
`save` and `load` are given.
"""
