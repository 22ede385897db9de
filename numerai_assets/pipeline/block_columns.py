"""The columns of feature blocks: computed, stored, and given to methods, learned ones as of a vintage."""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numerai_assets.eras import era_label
from numerai_assets.errors import FeatureError
from numerai_assets.features.contract import Columns, FeatureBlock, History, Kind
from numerai_assets.features.fitting.quintiles import quintiles
from numerai_assets.features.registry import create_block, fitted_block_class, kind_of, learned
from numerai_assets.panel.panel import EraPanel, Reads
from numerai_assets.pipeline.spec import BlockSpec, Specs, VintageSpec
from numerai_assets.store.column_store import ColumnsRecord, EngineeredStore
from numerai_assets.store.era_store import EraStore
from numerai_assets.store.eras_used import eras_of
from numerai_assets.store.vintage_store import VintageStore

BLOCKS_FOLDER = "blocks"
"""Folder of a method's vintage that holds the learned blocks it was fitted with."""

BlockSpecs = Mapping[str, BlockSpec | VintageSpec]

# Earlier eras kept open while a run of eras is computed: the mapping of a file, not its bytes.
_ERAS_KEPT_OPEN = 160


class BlockColumns:
    """Computes the columns of feature blocks and stores them. Made for one run: it sees the feature sets of its time.

    feature_sets: of features.json, with the features that the store holds. cleaning: the strategy in force.
    """

    def __init__(
        self,
        store: EraStore,
        engineered: EngineeredStore,
        specs: Specs,
        *,
        feature_sets: Callable[[], Mapping[str, tuple[str, ...]]],
        cleaning: str,
    ) -> None:
        self.store, self.engineered, self.specs, self.cleaning = store, engineered, specs, cleaning
        self._feature_sets = feature_sets
        # Cache through a partial, not a bound method: a reference cycle would keep up to 160 mapped files open.
        self._era = lru_cache(_ERAS_KEPT_OPEN)(partial(_read_era, store))

    @cached_property
    def feature_sets(self) -> Mapping[str, tuple[str, ...]]:
        """Features of each set that the store holds."""
        return self._feature_sets()

    @cached_property
    def _feature_sets_digest(self) -> str:
        return hashlib.sha256(json.dumps(self.feature_sets, sort_keys=True).encode()).hexdigest()

    @cached_property
    def _first_era(self) -> int:
        return self.store.eras()[0]

    @cached_property
    def _newest_era(self) -> int:
        return self.store.newest_era()

    def is_current(self, name: str, key: str) -> bool:
        """True when the columns of that era or live round are stored and are those the settings ask for."""
        return self.engineered.holds(name, key, self._origin(name, key))

    def ensure(self, name: str, key: str) -> ColumnsRecord:
        """The record of a block's columns of one era or live round, which are computed and stored unless they are current.

        Raises FeatureError when the block cannot be computed or breaks its contract.
        """
        if self.is_current(name, key):
            return self.engineered.record(name, key)
        block = self._block(name)
        for needed in block.needs:
            self.ensure(needed, key)
        columns = self._computed(block, key, lambda needed: self.engineered.columns(needed, key))
        return self.engineered.write(
            name,
            key,
            era=self.store.record(key).era,
            names=block.names(self.feature_sets),
            columns=columns,
            levels=quintiles(columns) if columns.dtype == np.float16 else None,
            made_with=self._origin(name, key),
        )

    def read(self, name: str, spec: BlockSpec, key: str) -> tuple[tuple[str, ...], Columns]:
        """Names and columns (k, n) of a block by a spec: stored where the settings ask for the same, else computed.

        Raises FeatureError when the block's formula has changed since.
        """
        if self.specs.is_current(name, spec):
            return self.ensure(name, key).names, self.engineered.columns(name, key)
        block = create_block(name, dict(spec.parameters))
        if block.version != spec.version:
            raise FeatureError(f"{name}: its columns were made by version {spec.version}, this is {block.version}")
        columns = self._computed(block, key, lambda needed: self.read(needed, spec.needs[needed], key)[1])
        return block.names(self.feature_sets), columns

    def history(self, reads: Reads, era: int, read_columns: Callable[[str], Columns]) -> History:
        """What a reader may know at one era, or live round, besides its rows."""
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
        """A PNG that shows what the block does on one stored era."""
        block, panel = self._block(name), self.store.panel([key])
        history = self.history(_reads(block), panel.eras[0], lambda needed: self.engineered.columns(needed, key))
        return block.picture(panel, self.engineered.columns(name, key), history)

    def with_history(
        self, panel: EraPanel, keys: Sequence[str], reads: Reads, specs: Mapping[str, BlockSpec]
    ) -> EraPanel:
        """The panel of the given eras or live rounds, ascending, able to answer what may be known at each.

        specs: of each block whose columns are read as they are, from the time when they were first read.
        """
        if reads == Reads():
            return panel
        key_of = dict(zip(panel.eras, keys, strict=True))

        def history_of(era: int) -> History:
            return self.history(reads, era, lambda name: self.read(name, specs[name], key_of[era])[1])

        return replace(panel, history_of=history_of)

    def with_blocks(
        self, panel: EraPanel, keys: Sequence[str], specs: BlockSpecs, folders: Mapping[str, Path]
    ) -> EraPanel:
        """The panel of the given eras or live rounds with the columns of blocks as bins.

        specs: of each block from the time of the fit. A block that the settings ask for otherwise today is computed again,
        so that a vintage can always predict. folders: of each learned block. With a selection among the blocks, the panel
        keeps only the selected features of its own.
        """
        for name in specs:
            if kind_of(name) is Kind.SELECTION:
                selected = set(fitted_block_class(name).load(folders[name]).names_)
                panel = panel.with_features([feature for feature in panel.feature_names if feature in selected])
        for name, spec in specs.items():
            if isinstance(spec, VintageSpec):
                if kind_of(name) is Kind.LEARNED:
                    panel = self._with_learned(panel, keys, name, folders[name], spec)
            elif self.specs.is_current(name, spec):
                for key in keys:
                    self.ensure(name, key)
                panel = self.engineered.with_blocks(panel, keys, [name])
            else:
                found = [self.read(name, spec, key) for key in keys]
                columns = [_levels(columns) for _, columns in found]
                panel = panel.with_columns([f"{name}.{column}" for column in found[0][0]], columns, [])
        return panel

    def _with_learned(
        self, panel: EraPanel, keys: Sequence[str], name: str, folder: Path, spec: VintageSpec
    ) -> EraPanel:
        block = fitted_block_class(name).load(folder)
        read = self.store.panel(keys, features=block.feature_names_)
        read = self.with_history(read, keys, block.reads, spec.reads)
        levels = [_levels(block.transform(era)) for era in read.each_era()]
        # Of the levels themselves: they may follow from earlier eras and their targets too.
        digests = [hashlib.sha256(np.ascontiguousarray(columns).tobytes()).hexdigest() for columns in levels]
        return panel.with_columns([f"{name}.{column}" for column in block.names_], levels, digests)

    def _block(self, name: str) -> FeatureBlock:
        spec = self.specs.block(name)
        return create_block(name, dict(spec.parameters))

    def _computed(self, block: FeatureBlock, key: str, read_columns: Callable[[str], Columns]) -> Columns:
        panel = self.store.panel([key])
        columns = block.compute(panel, self.history(_reads(block), panel.eras[0], read_columns))
        _check(block.name, key, columns, (len(block.names(self.feature_sets)), panel.rows))
        return columns

    def _origin(self, name: str, key: str) -> dict[str, Any]:
        """Everything that the columns of one era follow from."""
        record = self.store.record(key)
        # Of a round that is ahead of a late release: the look-back changes once that has come.
        late = {"newest_release": self._newest_era} if record.era > self._newest_era else {}
        return {
            "facts": self.specs.block(name).as_json(),
            "features": record.cleaned_sha256,
            "cleaning": self.cleaning,
            "feature_sets": self._feature_sets_digest,
            **late,
        }


def eras_learned_from(fitted: VintageStore, blocks: Iterable[str], vintage: int) -> dict[str, Sequence[int]]:
    """Eras whose targets the learned ones among the blocks saw, by use and target, as `store.eras_used` records them."""
    seen: dict[str, set[int]] = {}
    for name in learned(blocks):
        facts = fitted.facts(name, vintage)
        use = "selection" if kind_of(name) is Kind.SELECTION else "features"
        seen.setdefault(f"{use}:{facts.target}", set()).update(eras_of(facts.uses["fit"]))
    return {use: sorted(eras) for use, eras in seen.items()}


def folders_of(fitted: VintageStore, blocks: Iterable[str], vintage: int) -> dict[str, Path]:
    """Folders of the learned ones among the blocks, as of a vintage. Raises StoreError for one that is damaged."""
    return {name: fitted.verified(name, vintage) for name in learned(blocks)}


def _read_era(store: EraStore, era: int, targets: tuple[str, ...]) -> EraPanel:
    return store.panel([era_label(era)], targets=targets)


def _reads(block: FeatureBlock) -> Reads:
    return Reads(block.look_back, block.targets, block.needs)


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
