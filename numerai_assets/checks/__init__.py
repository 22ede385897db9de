"""WHAT must hold, in Dagster: asset checks, blocking where a wrong submission could follow.

Checks read manifests, records and metadata through `pipeline`; they compute nothing that an asset should have stored.
"""
