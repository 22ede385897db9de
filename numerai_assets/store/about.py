"""about.json: what a fitted method or learned block stores beside its arrays and models, such as its parameters."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ABOUT = "about.json"


def write_about(folder: Path, about: Mapping[str, Any], *, name: str = ABOUT) -> None:
    """Writes `about`, with its keys in their order, as indented JSON into `folder`."""
    (folder / name).write_text(json.dumps(about, indent=1), encoding="utf-8")


def read_about(folder: Path, *, name: str = ABOUT) -> dict[str, Any]:
    """Returns what `write_about` wrote; tuples come back as lists."""
    found: dict[str, Any] = json.loads((folder / name).read_text(encoding="utf-8"))
    return found
