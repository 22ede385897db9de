"""Metrics, payouts, score series, exposures, neutralisation, uncertainty, splits, plots and pieces of the report.

May import `panel`, `eras`, `errors`. Arrays and small frames in and out; only `neutralisation` writes a file, the cached
factor of an era, where it is told to.
"""
