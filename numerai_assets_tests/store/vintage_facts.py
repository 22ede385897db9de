"""Metadata of a vintage, where a test does not care."""

from typing import Any

FACTS: dict[str, Any] = {
    "method": "benchmark",
    "target": "target_ender_60",
    "rows": 9,
    "features": 1,
    "feature_set": "all",
    "cleaning": "median",
    "parameters": {},
    "seed": 0,
}
