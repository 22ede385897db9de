"""Metrics, payouts, series of scores, exposures, neutralisation, uncertainty, diagnostics and plots: what judges predictions.

May import `store`, `eras` and `errors`. Arrays and small frames in and out; nothing here reads or writes a file but
`neutralisation`, which keeps the factor of an era where it is told to.
"""
