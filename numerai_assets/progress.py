"""The progress callback of long work."""

from collections.abc import Callable

Progress = Callable[[str, int, int], None]
"""Called with the stage of long work, the amount done of that stage, and its total."""


def silent(stage: str, done: int, total: int) -> None:
    """Ignores progress."""
