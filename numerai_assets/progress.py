"""How long work tells how far it is; who listens is not its business."""

from collections.abc import Callable

Progress = Callable[[str, int, int], None]
"""Told of long work: the stage it is in, how much of that is done, and how much there is."""


def silent(stage: str, done: int, total: int) -> None:
    """The progress that nobody looks at."""
