"""The ledger of looks at the holdout eras: each look makes the next score less reliable.

One line of JSON per look, only ever appended, by one process at a time and flushed before the look is taken: a look that
is not in the ledger was not made. A line that a killed process left unfinished is marked as torn by the next process.
"""

import datetime as dt
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from numerai_assets.errors import StoreError
from numerai_assets.store.atomic import flush

# Not JSON, and JSON cannot end like this: a line with this end was never complete.
_TORN = b" #torn\n"


@dataclass(frozen=True)
class Look:
    """One look at all eras from `first_era` to `last_era`.

    who: a method, or "blend". purpose: such as "diagnostics", "gate" or "search". variants: digests of all inputs of
    each scored model, so that the same model is recognised.
    """

    time: dt.datetime
    who: str
    purpose: str
    first_era: int
    last_era: int
    variants: tuple[str, ...]

    def __post_init__(self) -> None:
        where = f"look of {self.who!r} at eras {self.first_era} to {self.last_era}"
        if not self.who or not self.purpose:
            raise StoreError(f"{where}: expected who asks and what for, found {self.who!r} and {self.purpose!r}")
        if not 1 <= self.first_era <= self.last_era:
            raise StoreError(f"{where}: expected eras from 1 on, the first not after the last")
        if not self.variants or not all(self.variants):
            raise StoreError(f"{where}: expected the digest of each variant judged, found {list(self.variants)}")
        if self.time.utcoffset() is None:
            raise StoreError(f"{where}: expected a time with its zone, found {self.time.isoformat()}")


@dataclass(frozen=True)
class HoldoutLedger:
    """The ledger in the file `path`, which is created with the first look."""

    path: Path

    def record(self, look: Look) -> None:
        """Appends a look; to be called before it is taken. Once this returns, the line survives a crash or power cut.

        Raises OSError when the disk is full; an incomplete line is ignored.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        line = json.dumps(_fields(look)).encode() + b"\n"
        with FileLock(self.path.with_suffix(".lock")):
            is_new = not self.path.exists()
            with self.path.open("ab") as file:  # O_APPEND
                file.write((_TORN if self._is_torn() else b"") + line)
                file.flush()
                os.fsync(file.fileno())
            if is_new:
                flush(self.path.parent)

    def looks(self) -> list[Look]:
        """All looks, oldest first. Raises StoreError, with the number of the line, for a line that is not a look."""
        if not self.path.exists():
            return []
        # Bytes after the last newline are being written, or never were completed.
        *lines, _unfinished = self.path.read_bytes().split(b"\n")
        return [
            self._parsed(number, line)
            for number, line in enumerate(lines, start=1)
            if not (line + b"\n").endswith(_TORN)
        ]

    def trials(self, eras: Iterable[int]) -> int:
        """Number of distinct variants that were scored on any of `eras`; a repeated variant is one trial."""
        wanted = set(eras)
        judged = {
            variant
            for look in self.looks()
            if not wanted.isdisjoint(range(look.first_era, look.last_era + 1))
            for variant in look.variants
        }
        return len(judged)

    def _is_torn(self) -> bool:
        with self.path.open("rb") as file:
            if file.seek(0, os.SEEK_END) == 0:
                return False
            file.seek(-1, os.SEEK_END)
            return file.read() != b"\n"

    def _parsed(self, number: int, line: bytes) -> Look:
        try:
            fields = json.loads(line)
            return Look(
                dt.datetime.fromisoformat(fields["time"]),
                fields["who"],
                fields["purpose"],
                fields["first_era"],
                fields["last_era"],
                tuple(fields["variants"]),
            )
        except (ValueError, TypeError, KeyError, StoreError) as error:
            raise StoreError(
                f"{self.path}: line {number} is no look at the holdout ({error}). The file was edited or damaged; "
                "restore it from a backup, for without that line too few trials would be counted"
            ) from error


def _fields(look: Look) -> dict[str, object]:
    return {
        "time": look.time.isoformat(),
        "who": look.who,
        "purpose": look.purpose,
        "first_era": look.first_era,
        "last_era": look.last_era,
        "variants": list(look.variants),
    }
