"""Metrics, payouts, score series, exposures, neutralisation, uncertainty, splits, plots and pieces of the report.

May import `panel`, `eras`, `settings`, `errors`. Functions take and return arrays and small frames; none writes a file.
"""
