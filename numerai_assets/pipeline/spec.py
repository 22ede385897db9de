"""The spec: everything that settings ask of a vintage or of a block's columns, as one value.

Built once per run from the settings, handed down, compared with `==` to what a vintage on disk records. A vintage whose
spec differs from the settings' counts as missing. Where and how fast something is trained is no part of a spec.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cache
from typing import Any, Self

from numerai_assets.execution import without_execution
from numerai_assets.features.registry import create_block, create_fitted_block, fitted_block_class, kind_of
from numerai_assets.methods.registry import create_method
from numerai_assets.settings import Settings
from numerai_assets.store.vintage_store import Vintage


@dataclass(frozen=True)
class BlockSpec:
    """What a per-era block's columns follow from besides the data.

    version: of its formula. needs: the blocks whose columns it reads.
    """

    version: int
    parameters: Mapping[str, Any]
    needs: "Mapping[str, BlockSpec]"

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> Self:
        """The spec that `as_json` wrote."""
        return cls(stored["version"], stored["parameters"], {name: cls.of(it) for name, it in stored["needs"].items()})

    def as_json(self) -> dict[str, Any]:
        """What JSON can hold, as it comes back from a file."""
        return {
            "version": self.version,
            "parameters": _as_json(self.parameters),
            "needs": {name: needed.as_json() for name, needed in self.needs.items()},
        }


@dataclass(frozen=True)
class VintageSpec:
    """What settings ask of the vintages of a method or of a learned block.

    blocks: feature blocks whose columns it is given beside the feature set. reads: per-era blocks whose columns it reads
    as they are. rolled: whether vintages between those of history warm-start from the newest of them.
    """

    target: str
    feature_set: str
    cleaning: str
    parameters: Mapping[str, Any]
    seed: int
    reads: Mapping[str, BlockSpec] = field(default_factory=dict)
    blocks: "Mapping[str, BlockSpec | VintageSpec]" = field(default_factory=dict)
    rolled: bool = False

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> Self:
        """The spec that `as_json` wrote, with the settings of execution that older versions counted as parameters left out."""
        return cls(
            target=stored["target"],
            feature_set=stored["feature_set"],
            cleaning=stored["cleaning"],
            parameters=without_execution(stored["parameters"]),
            seed=stored["seed"],
            reads={name: BlockSpec.of(it) for name, it in stored.get("reads", {}).items()},
            blocks={name: block_spec_of(it) for name, it in stored.get("blocks", {}).items()},
            rolled=stored.get("rolled", False),
        )

    @classmethod
    def of_vintage(cls, stored: Vintage) -> Self:
        """The spec that a stored vintage was fitted by."""
        return cls.of(asdict(stored))

    @property
    def digest(self) -> str:
        """16 hexadecimal digits that differ between specs that differ."""
        return hashlib.sha256(json.dumps(self.as_json(), sort_keys=True).encode()).hexdigest()[:16]

    def as_json(self) -> dict[str, Any]:
        """What JSON can hold, as it comes back from a file; what is empty or false is left out."""
        held = {
            "target": self.target,
            "feature_set": self.feature_set,
            "cleaning": self.cleaning,
            "parameters": _as_json(self.parameters),
            "seed": self.seed,
            "reads": {name: block.as_json() for name, block in self.reads.items()},
        }
        if self.blocks:
            held["blocks"] = {name: block.as_json() for name, block in self.blocks.items()}
        return held | ({"rolled": True} if self.rolled else {})


def block_spec_of(stored: Mapping[str, Any]) -> BlockSpec | VintageSpec:
    """The spec of a block that `as_json` wrote: a learned one was fitted on a target."""
    return VintageSpec.of(stored) if "target" in stored else BlockSpec.of(stored)


class Specs:
    """The specs of all methods and blocks of the settings, each built when it is first asked for."""

    def __init__(self, settings: Settings) -> None:
        self.active_blocks = tuple(settings.active_blocks)
        self._settings = settings
        self.method = cache(self._method)
        self.block = cache(self._block)

    def is_current(self, name: str, spec: BlockSpec) -> bool:
        """True when the per-era block is on and the settings ask for the very columns of `spec`."""
        return name in self.active_blocks and self.block(name) == spec

    def _method(self, name: str) -> VintageSpec:
        """What the settings ask of a method's vintages."""
        settings = self._settings.methods[name]
        estimator = create_method(name, settings)
        return VintageSpec(
            target=settings.target,
            feature_set=settings.feature_set,
            cleaning=self._settings.cleaning.missing,
            parameters=_as_json(estimator.get_params()),
            seed=settings.seed,
            reads=self._read(estimator.reads.columns),
            blocks={block: self.block(block) for block in settings.blocks},
            rolled=settings.rolled,
        )

    def _block(self, name: str) -> BlockSpec | VintageSpec:
        """What the settings ask of a block: of its columns, or, of a learned one, of its vintages."""
        settings = self._settings.features[name]
        if not kind_of(name).is_learned:
            block = create_block(name, settings.parameters)
            parameters = _as_json(asdict(block))  # type: ignore[call-overload]
            return BlockSpec(block.version, parameters, self._read(block.needs))
        return VintageSpec(
            target=settings.target,
            feature_set=settings.feature_set,
            cleaning=self._settings.cleaning.missing,
            parameters=_as_json({"version": fitted_block_class(name).version, **settings.parameters}),
            seed=settings.seed,
            reads=self._read(create_fitted_block(name, settings.parameters).reads.columns),
        )

    def _read(self, names: tuple[str, ...]) -> dict[str, BlockSpec]:
        found = {name: self.block(name) for name in names}
        return {name: spec for name, spec in found.items() if isinstance(spec, BlockSpec)}


def _as_json(value: Any) -> Any:
    """As it comes back from a file: tuples are lists there."""
    return json.loads(json.dumps(value))
