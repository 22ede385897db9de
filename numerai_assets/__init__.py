"""Numerai's weekly tournament as software-defined assets.

Rooms, from the outside in: `assets`, `checks`, `automation` (Dagster) stand on `tournament`, `evaluation`, `methods`
and `features`, which stand on `store`, `eras` and `settings`. Imports point down only. `sandbox` is a whole Numerai
on loopback, reached over HTTP alone.
"""
