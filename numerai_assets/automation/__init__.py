"""WHEN, in Dagster: jobs, the weekly schedule, the round sensor, and the conductor that runs due steps one by one.

`pipeline.plan` decides which steps are due. Schedule, sensor and command line all follow it one run at a time, so a
chain that broke anywhere is resumed where it broke.
"""
