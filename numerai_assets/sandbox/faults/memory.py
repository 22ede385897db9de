"""What the faults remember between two requests and across restarts: one JSON file."""

import datetime as dt
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from numerai_assets.errors import SandboxError
from numerai_assets.sandbox.faults.plan import Plan


class Burst(BaseModel):
    """A fault that goes on for so many more requests."""

    left: int
    parameters: dict[str, Any]
    on: tuple[str, ...] | None


class Streak(BaseModel):
    """How often a fault struck: without a miss, and in the round it struck last."""

    in_a_row: int = 0
    round_number: int = 0
    in_round: int = 0


class Fired(BaseModel):
    """An event's count of requests that fitted it, and of those it struck."""

    fitted: int = 0
    struck: int = 0


class Lasting(BaseModel):
    """A fault of a round or release. last_round: the last that has it."""

    fault: str
    first_round: int
    last_round: int
    parameters: dict[str, Any]


class Memory(BaseModel):
    """Everything between two requests. `universes` outlives the plan; the rest goes with it."""

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
    """What the file at `path` holds, nothing when there is none. Raises SandboxError for a damaged one."""
    if not path.exists():
        return Memory()
    try:
        return Memory.model_validate_json(path.read_text(encoding="utf-8"))
    except (ValidationError, UnicodeDecodeError, SandboxError) as error:
        first = str(error).splitlines()[0]
        raise SandboxError(f"{path}: cannot be read ({first}); remove it to go on without faults") from None
