"""Fitted models on disk, one folder per method and vintage, each with the metadata of its fit.

Layout: <folder>/<method>/<vintage>/vintage.json and the method's own files. No file is a pickle: the folder is
written by `Method.save`, and its checksums are compared before it is loaded.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from numerai_assets.eras import era_label
from numerai_assets.errors import StoreError
from numerai_assets.store.atomic import replacing_folder, sha256_of, write_json
from numerai_assets.store.eras_used import Run

_FACTS = "vintage.json"
_REFUSED = "refused"


@dataclass(frozen=True)
class Refusal:
    """A vintage that could not be fitted, and why. It is not tried again while spec and data stay the same.

    spec: digest of what the settings asked for. data: digest of the eras it would have been fitted on.
    """

    method: str
    vintage: int
    reason: str
    spec: str
    data: str


@dataclass(frozen=True)
class Vintage:
    """Metadata of one fit: its training data, parameters, and the checksums of its files.

    blocks: feature blocks whose columns it was given, each with its inputs.
    reads: feature blocks whose columns it reads as they are, each with its inputs.
    rolled: whether vintages between those of history warm-start from these; continued_from: the vintage it started from.
    uses: for each use of targets (`store/eras_used.py`) the eras it saw, as runs.
    """

    method: str
    vintage: int
    target: str
    first_fit_era: int
    last_fit_era: int
    fit_eras: int
    rows: int
    features: int
    feature_set: str
    cleaning: str
    parameters: dict[str, Any]
    seed: int
    files: dict[str, str]
    blocks: dict[str, Any] = field(default_factory=dict)
    reads: dict[str, Any] = field(default_factory=dict)
    rolled: bool = False
    continued_from: int | None = None
    uses: dict[str, tuple[Run, ...]] = field(default_factory=dict)


class VintageStore:
    """Vintages of all methods under `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def vintages(self, method: str) -> list[int]:
        """Stored vintages of a method, ascending."""
        return sorted(int(path.parent.name) for path in self.folder.glob(f"{method}/[0-9]*/{_FACTS}"))

    def before(self, method: str, era: int) -> list[int]:
        """Stored vintages before `era`, newest first: those that may predict it."""
        return [vintage for vintage in reversed(self.vintages(method)) if vintage < era]

    def facts(self, method: str, vintage: int) -> Vintage:
        """Raises StoreError when the vintage is not stored."""
        path = self.place(method, vintage) / _FACTS
        if not path.is_file():
            raise StoreError(f"{method}: no vintage {era_label(vintage)}; materialize {method}_model for it")
        return _read(path)

    def verified(self, method: str, vintage: int) -> Path:
        """Folder of a vintage whose files are unchanged since it was fitted. Raises StoreError otherwise."""
        facts, place = self.facts(method, vintage), self.place(method, vintage)
        for name, digest in facts.files.items():
            if not (place / name).is_file() or sha256_of(place / name) != digest:
                raise StoreError(
                    f"{method} vintage {era_label(vintage)}: {name} is absent or was changed; train it again"
                )
        return place

    def set_aside(self, method: str, vintage: int) -> Path:
        """Takes a vintage out of use; returns its folder, kept for inspection. StoreError when it is not stored."""
        self.facts(method, vintage)
        place = self.place(method, vintage)
        kept = place.with_name(f"damaged-{place.name}-{len(list(place.parent.glob('damaged-*'))) + 1}")
        place.rename(kept)
        return kept

    def holds(self, method: str, vintage: int) -> bool:
        """True when the vintage is stored."""
        return (self.place(method, vintage) / _FACTS).is_file()

    def refuse(self, refusal: Refusal) -> None:
        """Records that a vintage could not be fitted."""
        write_json(self._refusal_path(refusal.method, refusal.vintage), asdict(refusal))

    def refusal(self, method: str, vintage: int) -> Refusal | None:
        """The record that a vintage could not be fitted; None where there is none that can be read."""
        try:
            return Refusal(**json.loads(self._refusal_path(method, vintage).read_text(encoding="utf-8")))
        except (FileNotFoundError, ValueError, TypeError):
            return None

    def refusals(self, method: str) -> list[Refusal]:
        """All records of vintages of a method that could not be fitted, ascending."""
        paths = sorted((self.folder / method / _REFUSED).glob("[0-9]*.json"))
        return [found for path in paths if (found := self.refusal(method, int(path.stem))) is not None]

    @contextmanager
    def writing(self, method: str, vintage: int) -> Iterator[Path]:
        """Yields an empty folder for the method's files; on leaving without an error it becomes the vintage.

        The caller writes the model and then calls `seal` on the folder.
        """
        with replacing_folder(self.place(method, vintage)) as aside:
            yield aside
            if not (aside / _FACTS).is_file():
                raise StoreError(f"{method} vintage {era_label(vintage)}: was not sealed with its metadata")
        self._refusal_path(method, vintage).unlink(missing_ok=True)

    def _refusal_path(self, method: str, vintage: int) -> Path:
        return self.folder / method / _REFUSED / f"{era_label(vintage)}.json"

    def place(self, method: str, vintage: int) -> Path:
        """Folder of a vintage, stored or not."""
        return self.folder / method / era_label(vintage)


def _read(path: Path) -> Vintage:
    content = json.loads(path.read_text(encoding="utf-8"))
    if "uses" not in content:
        # Written by a version without uses, whose fits saw every n-th era between their first and last.
        first, last, eras = content["first_fit_era"], content["last_fit_era"], content["fit_eras"]
        content["uses"] = {"fit": [[first, last, max(1, (last - first) // max(1, eras - 1))]]}
    return Vintage(**content | {"uses": {use: tuple(map(tuple, runs)) for use, runs in content["uses"].items()}})


def seal(folder: Path, **facts: Any) -> Vintage:
    """Writes the metadata of a fit, with the checksums of all files in `folder`, into it."""
    files = {str(p.relative_to(folder)): sha256_of(p) for p in sorted(folder.rglob("*")) if p.is_file()}
    vintage = Vintage(files=files, **facts)
    write_json(folder / _FACTS, asdict(vintage))
    return vintage
