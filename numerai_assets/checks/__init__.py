"""WHAT must hold: asset checks, blocking where a wrong submission could follow.

Reads manifests, records and facts through `assets.workspace`; computes nothing that an asset should have kept.
"""
