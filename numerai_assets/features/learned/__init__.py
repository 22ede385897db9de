"""Blocks that are fitted once per vintage on what lies before its wall."""
