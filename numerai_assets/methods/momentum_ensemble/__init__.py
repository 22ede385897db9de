"""Momentum-feature ensemble: `estimator` is the method, `representative_eras` chooses its training eras.

Must not import another method; the momentum blocks that it reads live in `features`.
"""
