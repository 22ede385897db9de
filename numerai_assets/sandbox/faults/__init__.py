"""How the sandbox misbehaves: what can go wrong, when it does, and how it is carried out.

`catalogue` names the faults, `plan` says when they come, `engine` decides and has its `memory`; `middleware` and
`connection` spoil the exchange, `alterations` the files. The tournament asks the engine for rounds' hours and for the ids
it accepts; it knows no fault by name. Administration under /sandbox/ is never struck.
"""
