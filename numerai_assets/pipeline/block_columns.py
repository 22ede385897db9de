"""The columns of feature blocks: computed, kept, found again and given to methods, learned ones as of a vintage."""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from functools import cached_property, lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numerai_assets.eras import era_label
from numerai_assets.errors import FeatureError
from numerai_assets.features.contract import Columns, FeatureBlock, FittedBlock, History
from numerai_assets.features.fitting.quintiles import quintiles
from numerai_assets.features.registry import (
    BLOCKS,
    SELECTION,
    create_block,
    create_fitted_block,
    fitted_block_class,
)
from numerai_assets.methods.contract import Method
from numerai_assets.panel.panel import EraPanel, Reads, reads_of
from numerai_assets.pipeline.workspace import Workspace
from numerai_assets.store.column_store import ColumnsRecord
from numerai_assets.store.eras_used import eras_of

BLOCKS_FOLDER = "blocks"
"""Of a method's vintage: where the learned blocks lie that it was fitted with."""

# Earlier eras kept open while a run of eras is computed: the mapping of a file, not its bytes.
_ERAS_KEPT_OPEN = 160


class BlockWriter:
    """Computes the columns of feature blocks and keeps them. Made for one run: it sees the feature sets of its time."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        # Nothing here refers to the writer itself: a ring would keep its eras open until it happens to be collected.
        self._era = lru_cache(_ERAS_KEPT_OPEN)(partial(_read_era, workspace))
        self._facts: dict[str, dict[str, Any]] = {}

    @cached_property
    def feature_sets(self) -> dict[str, tuple[str, ...]]:
        """Features of each set that the store holds."""
        held = set(self.workspace.store.feature_names)
        sets = self.workspace.release.features()
        return {name: tuple(feature for feature in features if feature in held) for name, features in sets.items()}

    @cached_property
    def _feature_sets_digest(self) -> str:
        return hashlib.sha256(json.dumps(self.feature_sets, sort_keys=True).encode()).hexdigest()

    @cached_property
    def _first_era(self) -> int:
        return self.workspace.store.eras()[0]

    @cached_property
    def _newest_era(self) -> int:
        return self.workspace.store.newest_era()

    def block(self, name: str) -> FeatureBlock:
        return create_block(name, self.workspace.settings.features[name].parameters)

    def is_current(self, name: str, key: str) -> bool:
        """True when the columns of that era or live round are held and are those the settings ask for."""
        return self.workspace.engineered.holds(name, key, self._made_with(name, key))

    def ensure(self, name: str, key: str) -> ColumnsRecord:
        """The record of a block's columns of one era or live round, which are computed and kept unless they are current.

        Raises FeatureError when the block cannot be computed or gives something else than its contract says.
        """
        engineered = self.workspace.engineered
        if self.is_current(name, key):
            return engineered.record(name, key)
        block = self.block(name)
        for needed in block.needs:
            self.ensure(needed, key)
        columns = self._computed(block, key, lambda needed: engineered.columns(needed, key))
        return engineered.write(
            name,
            key,
            era=self.workspace.store.record(key).era,
            names=block.names(self.feature_sets),
            columns=columns,
            levels=quintiles(columns) if columns.dtype == np.float16 else None,
            made_with=self._made_with(name, key),
        )

    def computed_as(self, name: str, key: str, facts: Mapping[str, Any]) -> tuple[tuple[str, ...], Columns]:
        """Names and columns (k, n) of a block as other settings had it, by its facts; computed anew and not kept.

        Raises FeatureError when the block's formula is another one since.
        """
        block = create_block(name, facts["parameters"])
        if block.version != facts["version"]:
            raise FeatureError(f"{name}: its columns were made by version {facts['version']}, this is {block.version}")
        return block.names(self.feature_sets), self._computed(
            block, key, lambda needed: self.computed_as(needed, key, facts["needs"][needed])[1]
        )

    def is_as_asked_for(self, name: str, facts: Mapping[str, Any]) -> bool:
        """True when the block is on and its settings now give the columns that these facts are of."""
        return name in self.workspace.settings.active_blocks and _as_json(self.facts(name)) == _as_json(facts)

    def columns_as(self, name: str, key: str, facts: Mapping[str, Any]) -> Columns:
        """Columns (k, n) of a block as its facts say: those kept where the settings ask for these, else computed anew."""
        if not self.is_as_asked_for(name, facts):
            return self.computed_as(name, key, facts)[1]
        self.ensure(name, key)
        return self.workspace.engineered.columns(name, key)

    def facts(self, name: str) -> dict[str, Any]:
        """What the columns of a block follow from besides the data."""
        # Asked for once an era, and the same for all.
        if name not in self._facts:
            block = self.block(name)
            self._facts[name] = {
                "version": block.version,
                "parameters": asdict(block),  # type: ignore[call-overload]
                "needs": {needed: self.facts(needed) for needed in block.needs},
            }
        return self._facts[name]

    def _computed(self, block: FeatureBlock, key: str, read_columns: Callable[[str], Columns]) -> Columns:
        panel = self.workspace.store.panel([key])
        columns = block.compute(panel, self.history(_reads(block), panel.eras[0], read_columns))
        _check(block.name, key, columns, (len(block.names(self.feature_sets)), panel.rows))
        return columns

    def history(self, reads: Reads, era: int, read_columns: Callable[[str], Columns]) -> History:
        """What a reader may know at one era, or live round, beside it."""
        return History(
            era=era,
            first_era=self._first_era,
            look_back=reads.look_back,
            targets=reads.targets,
            feature_sets=self.feature_sets,
            read_era=lambda earlier: self._era(earlier, reads.targets),
            read_columns=read_columns,
            newest_release=self._newest_era,
        )

    def picture(self, name: str, key: str) -> bytes:
        """A PNG of what the block does on one era that it holds."""
        block, panel, engineered = self.block(name), self.workspace.store.panel([key]), self.workspace.engineered
        history = self.history(_reads(block), panel.eras[0], lambda needed: engineered.columns(needed, key))
        return block.picture(panel, engineered.columns(name, key), history)

    def _made_with(self, name: str, key: str) -> dict[str, Any]:
        record = self.workspace.store.record(key)
        # Of a round that is ahead of a late release: what could be looked back to is other once that has come.
        late = {"newest_release": self._newest_era} if record.era > self._newest_era else {}
        return {
            "facts": self.facts(name),
            "features": record.cleaned_sha256,
            "cleaning": self.workspace.settings.cleaning.missing,
            "feature_sets": self._feature_sets_digest,
            **late,
        }


def _read_era(workspace: Workspace, era: int, targets: tuple[str, ...]) -> EraPanel:
    return workspace.store.panel([era_label(era)], targets=targets)


def eras_learned_from(workspace: Workspace, blocks: Iterable[str], vintage: int) -> dict[str, Sequence[int]]:
    """Eras whose targets the learned ones among the blocks saw, by use and target, as `store.uses` records them."""
    seen: dict[str, set[int]] = {}
    for name in blocks:
        if name not in BLOCKS:
            facts = workspace.fitted_blocks.facts(name, vintage)
            use = "selection" if name == SELECTION else "features"
            seen.setdefault(f"{use}:{facts.target}", set()).update(eras_of(facts.uses["fit"]))
    return {use: sorted(eras) for use, eras in seen.items()}


def fitted_with(workspace: Workspace, name: str) -> dict[str, Any]:
    """What the settings ask of the vintages of a learned block."""
    settings = workspace.settings.features[name]
    return {
        "target": settings.target,
        "feature_set": settings.feature_set,
        "cleaning": workspace.settings.cleaning.missing,
        "parameters": {"version": fitted_block_class(name).version, **settings.parameters},
        "seed": settings.seed,
        "reads": read_with(workspace, create_fitted_block(name, settings.parameters)),
    }


def read_with(workspace: Workspace, estimator: Method | FittedBlock) -> dict[str, Any]:
    """What the settings ask of the blocks whose columns an estimator reads as they are: the facts of each."""
    writer = BlockWriter(workspace)
    return {name: writer.facts(name) for name in reads_of(estimator).columns}


def with_history(
    workspace: Workspace, panel: EraPanel, keys: Sequence[str], reads: Reads, made_with: Mapping[str, Any]
) -> EraPanel:
    """The panel of the given eras or live rounds, ascending, that tells what may be known at each of what is read.

    made_with: what each block, whose columns are read as they are, was made with when it was first read.
    """
    if reads == Reads():
        return panel
    writer, key_of = BlockWriter(workspace), dict(zip(panel.eras, keys, strict=True))

    def history_of(era: int) -> History:
        return writer.history(reads, era, lambda name: writer.columns_as(name, key_of[era], made_with[name]))

    return replace(panel, history_of=history_of)


def blocks_with(workspace: Workspace, blocks: Iterable[str]) -> dict[str, Any]:
    """What the settings ask of the blocks that a method is given: the facts of each."""
    writer = BlockWriter(workspace)
    return {name: writer.facts(name) if name in BLOCKS else fitted_with(workspace, name) for name in blocks}


def fitted_blocks(workspace: Workspace, blocks: Iterable[str], vintage: int) -> dict[str, Path]:
    """Folders of the learned ones among the blocks, as of a vintage. Raises StoreError for one that is damaged."""
    return {name: workspace.fitted_blocks.verified(name, vintage) for name in blocks if name not in BLOCKS}


def with_blocks(
    workspace: Workspace, panel: EraPanel, keys: Sequence[str], blocks: Mapping[str, Any], learned: Mapping[str, Path]
) -> EraPanel:
    """The panel of the given eras or live rounds with the columns of blocks as levels.

    blocks: what each was made with when it was fitted on. One that the settings ask for otherwise now is computed anew,
    so that a vintage can predict whatever was changed since. learned: folder of each learned block. Where a selection is
    among them, only the features it selected are left of the panel's own.
    """
    if not blocks:
        return panel
    writer = BlockWriter(workspace)
    if SELECTION in blocks:
        selected = set(fitted_block_class(SELECTION).load(learned[SELECTION]).names_)
        panel = panel.with_features([name for name in panel.feature_names if name in selected])
    for name, facts in blocks.items():
        if name == SELECTION:
            continue
        if name not in BLOCKS:
            panel = _with_learned(workspace, panel, keys, name, learned[name], facts.get("reads", {}))
        elif writer.is_as_asked_for(name, facts):
            for key in keys:
                writer.ensure(name, key)
            panel = workspace.engineered.with_blocks(panel, keys, [name])
        else:
            found = [writer.computed_as(name, key, facts) for key in keys]
            columns = [_levels(columns) for _, columns in found]
            panel = panel.with_columns([f"{name}.{column}" for column in found[0][0]], columns, [])
    return panel


def _with_learned(
    workspace: Workspace,
    panel: EraPanel,
    keys: Sequence[str],
    name: str,
    folder: Path,
    reads: Mapping[str, Any],
) -> EraPanel:
    block = fitted_block_class(name).load(folder)
    read = workspace.store.panel(keys, features=block.feature_names_)
    read = with_history(workspace, read, keys, reads_of(block), reads)
    levels = [_levels(block.transform(era)) for era in read.each_era()]
    # Of the levels themselves: they may follow from earlier eras and their targets too.
    digests = [hashlib.sha256(np.ascontiguousarray(columns).tobytes()).hexdigest() for columns in levels]
    return panel.with_columns([f"{name}.{column}" for column in block.names_], levels, digests)


def _reads(block: FeatureBlock) -> Reads:
    return Reads(block.look_back, block.targets, block.needs)


def _as_json(facts: Any) -> Any:
    return json.loads(json.dumps(facts))


def _levels(columns: Columns) -> NDArray[np.int8]:
    return np.asarray(columns, np.int8) if columns.dtype == np.int8 else quintiles(columns)


def _check(name: str, key: str, columns: Columns, shape: tuple[int, int]) -> None:
    kinds = (np.int8, np.int16, np.float16)
    if columns.shape != shape or columns.dtype not in kinds:
        raise FeatureError(
            f"{name}, era {key}: gave {columns.shape} {columns.dtype}, expected {shape} of int8, int16 or float16"
        )
    if columns.dtype == np.float16 and np.isinf(columns).any():
        column = int(np.flatnonzero(np.isinf(columns).any(axis=1))[0])
        raise FeatureError(f"{name}, era {key}: column {column} holds an infinite value")
