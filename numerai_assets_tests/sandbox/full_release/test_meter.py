"""Stages are counted over their calls, and memory is watched while they run."""

import subprocess
import sys

import pytest

from numerai_assets.sandbox.full_release.meter import Meter


def test_calls_of_a_stage_add_up() -> None:
    meter = Meter()
    for rows in (3, 4):
        with meter.stage("encode", rows=rows) as cost:
            cost.bytes += 10
    assert (meter.costs["encode"].rows, meter.costs["encode"].bytes) == (7, 20)
    assert meter.costs["encode"].seconds > 0


# In a process of its own: what other tests' threads give back meanwhile would be counted here.
_FAT_AFTER_LEAN = """
import numpy as np
from numerai_assets.sandbox.full_release.meter import Meter

meter = Meter()
with meter.watching():
    with meter.stage("lean"):
        pass
    with meter.stage("fat"):
        held = np.ones(40_000_000, dtype=np.int8)
lean, fat = meter.costs["lean"], meter.costs["fat"]
print(fat.anonymous - lean.anonymous, fat.resident - fat.anonymous)
"""


def test_memory_is_that_of_the_stage_that_held_it() -> None:
    printed = subprocess.run([sys.executable, "-c", _FAT_AFTER_LEAN], check=True, capture_output=True, text=True)
    added, shared = map(int, printed.stdout.split())
    assert added == pytest.approx(40e6, rel=0.1)
    assert shared > 0


def test_a_stage_that_fails_is_counted_and_ended() -> None:
    meter = Meter()
    with pytest.raises(ValueError, match="broken"), meter.stage("encode", rows=5):
        raise ValueError("broken")
    assert meter.costs["encode"].rows == 5 and not meter._under_way


def test_the_table_has_a_line_a_stage_and_one_for_the_whole() -> None:
    meter = Meter()
    for name in ("bins", "parquet"):
        with meter.stage(name):
            pass
    lines = meter.table().splitlines()
    assert [line.split()[0] for line in lines] == ["stage", "bins", "parquet", "in"]
