"""The command line `numerai`: `main` assembles the commands, the other modules hold one group of commands each.

May import everything. Nothing here imports Dagster at module level, so that commands that need no run start quickly.
"""
