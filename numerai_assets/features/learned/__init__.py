"""Blocks that are fitted once per vintage on the eras before its wall."""
