"""Faults that the sandbox injects, so that clients can be tested against a misbehaving Numerai.

`catalogue` lists the faults, `plan` describes when they occur, `engine` decides and keeps its `memory`, `alterations`
changes files. The server applies faults of requests; the tournament takes hours and accepted ids from the engine and
knows no fault by name. Administration under /sandbox/ never fails.
"""
