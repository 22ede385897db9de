"""Momentum Transformer with a learned network: today the graph momentum model that the method will be built on.

May import `nn`; must not import another method.
"""
