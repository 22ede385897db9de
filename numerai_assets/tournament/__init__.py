"""The outside: rounds, verified download, proven submission, scores, all on top of numerapi.

May import `store`, `panel`, `eras`, `errors`, `settings`. API keys are read from the environment here, at the moment of
use, and leave this room in no object, message or file.
"""
