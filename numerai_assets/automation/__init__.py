"""WHEN: the plan of what is stale, the jobs that mend it, the weekly schedule and the round sensor.

The plan is a pure function of what is on disk and what the tournament says; schedule, sensor and command line all
follow it one step at a time, so that a chain broken anywhere is simply taken up again.
"""
