"""State of the faults between requests and across restarts, in one JSON file."""

import datetime as dt
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from numerai_assets.errors import SandboxError
from numerai_assets.sandbox.faults.plan import Plan


class Burst(BaseModel):
    """A fault that repeats for the next `left` requests."""

    left: int
    parameters: dict[str, Any]
    on: tuple[str, ...] | None


class Streak(BaseModel):
    """How often a fault occurred: in a row, and in its last round."""

    in_a_row: int = 0
    round_number: int = 0
    in_round: int = 0


class Fired(BaseModel):
    """How many requests matched an event, and in how many of them it occurred."""

    fitted: int = 0
    struck: int = 0


class Lasting(BaseModel):
    """A fault of a round or of several releases. last_round: the last round that has it."""

    fault: str
    first_round: int
    last_round: int
    parameters: dict[str, Any]


class Memory(BaseModel):
    """The whole state. `universes` outlives the plan; the rest is reset with it."""

    plan: Plan | None = None
    since: dt.datetime | None = None
    requests: dict[str, int] = {}
    struck: dict[str, int] = {}
    streaks: dict[str, Streak] = {}
    bursts: dict[str, Burst] = {}
    events: list[Fired] = []
    rounds_met: list[int] = []
    lasting: list[Lasting] = []
    replaced: dict[str, int] = {}
    universes: dict[int, tuple[float, str]] = {}


def remembered(path: Path) -> Memory:
    """The state in the file at `path`, empty if there is none. Raises SandboxError for a damaged file."""
    if not path.exists():
        return Memory()
    try:
        return Memory.model_validate_json(path.read_text(encoding="utf-8"))
    except (ValidationError, UnicodeDecodeError, SandboxError) as error:
        first = str(error).splitlines()[0]
        raise SandboxError(f"{path}: cannot be read ({first}); remove it to continue without faults") from None
