"""What assets show: progress while they run, time and peak memory, tables and pictures."""

import base64
import re
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import dagster as dg
import pandas as pd
import psutil
from tqdm import tqdm

T = TypeVar("T")
_LOG_EVERY_SECONDS = 10.0


def progress(context: dg.AssetExecutionContext, items: Sequence[T], what: str) -> Iterator[T]:
    """The items one by one, with a bar in a terminal and a log event now and then in Dagster."""
    began = last = time.monotonic()
    for done, item in enumerate(tqdm(items, desc=what, leave=False, disable=not sys.stderr.isatty())):
        now = time.monotonic()
        if now - last > _LOG_EVERY_SECONDS:
            last = now
            context.log.info(f"{what}: {done} of {len(items)} in {now - began:.0f} s")
        yield item


class BarProgress:
    """Progress of one piece of work: a bar in a terminal, a log event now and then in Dagster."""

    def __init__(self, context: dg.AssetExecutionContext, name: str, unit: str) -> None:
        self._context, self._name, self._unit, self._last = context, name, unit, time.monotonic()
        self._bar = tqdm(desc=name, unit=unit, unit_scale=True, leave=False, disable=not sys.stderr.isatty())

    def __call__(self, done: int, total: int) -> None:
        self._bar.total = total
        self._bar.update(done - self._bar.n)
        if time.monotonic() - self._last > _LOG_EVERY_SECONDS:
            self._last = time.monotonic()
            self._context.log.info(f"{self._name}: {done:,} of {total:,} {self._unit}")
        if done >= total:
            self._bar.close()


class StageProgress:
    """Progress of work that goes through stages, each with a bar of its own."""

    def __init__(self, context: dg.AssetExecutionContext, name: str) -> None:
        self._context, self._name = context, name
        self._stages: dict[str, BarProgress] = {}

    def __call__(self, stage: str, done: int, total: int) -> None:
        if stage not in self._stages:
            self._stages[stage] = BarProgress(self._context, self._name, f" {stage}")
        self._stages[stage](done, total)


@dataclass
class Cost:
    """Seconds and peak resident memory of a piece of work, known when it is over."""

    seconds: float = 0.0
    peak_mb: float = 0.0

    def metadata(self) -> dict[str, Any]:
        return {"seconds": round(self.seconds, 2), "peak_memory_mb": round(self.peak_mb, 1)}


@contextmanager
def measured() -> Iterator[Cost]:
    """Measures the block. On Linux the peak is that of the block; elsewhere that of the process so far."""
    cost, began = Cost(), time.monotonic()
    _reset_peak()
    try:
        yield cost
    finally:
        cost.seconds = time.monotonic() - began
        cost.peak_mb = _peak_bytes() / 1e6


def _reset_peak() -> None:
    clear = Path("/proc/self/clear_refs")
    try:
        clear.write_text("5", encoding="ascii")
    except OSError:
        # Not Linux, or not permitted in a container: the peak then counts from the start of the process.
        return


def _peak_bytes() -> int:
    status = Path("/proc/self/status")
    found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text(encoding="ascii")) if status.exists() else None
    return int(found.group(1)) * 1024 if found else int(psutil.Process().memory_info().rss)


def picture(png: bytes, name: str) -> dg.MarkdownMetadataValue:
    """A PNG that shows inline in Dagster's UI."""
    return dg.MetadataValue.md(f"![{name}](data:image/png;base64,{base64.b64encode(png).decode('ascii')})")


def table(frame: pd.DataFrame) -> dg.TableMetadataValue:
    """A frame as a table in Dagster's UI; numbers rounded to what a person reads."""
    records = [dg.TableRecord({str(k): _cell(v) for k, v in row.items()}) for row in frame.to_dict("records")]
    columns = [dg.TableColumn(str(name), _kind(frame[name])) for name in frame.columns]
    return dg.MetadataValue.table(records=records, schema=dg.TableSchema(columns=columns))


def metadata_of(found: Mapping[str, Any], stored: Path) -> dict[str, Any]:
    """Metadata of what a stage found: frames as tables, PNG bytes as plots; `stored` is the file that holds it."""
    shown: dict[str, Any] = {"dagster/uri": dg.MetadataValue.path(str(stored))}
    for name, value in found.items():
        is_plot, is_table = isinstance(value, bytes), isinstance(value, pd.DataFrame)
        shown[name] = picture(value, name.replace("_", " ")) if is_plot else table(value) if is_table else value
    return shown


def column_schema(names: Mapping[str, str]) -> dg.TableSchema:
    """Column schema of a table, name -> type."""
    return dg.TableSchema(columns=[dg.TableColumn(name, kind) for name, kind in names.items()])


def result(
    shown: Mapping[str, Any], cost: Cost | None = None, *, data_version: str | None = None
) -> dg.MaterializeResult:
    """What an asset returns: the metadata a person wants to see and, where it was measured, what it cost."""
    return dg.MaterializeResult(
        metadata={**shown, **(cost.metadata() if cost else {})},
        data_version=dg.DataVersion(data_version) if data_version else None,
    )


def _cell(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 5)
    return value.item() if hasattr(value, "item") else value


def _kind(column: "pd.Series[Any]") -> str:
    return (
        "int" if pd.api.types.is_integer_dtype(column) else "float" if pd.api.types.is_float_dtype(column) else "string"
    )
