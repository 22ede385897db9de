"""Names of the predictions that Numerai publishes: benchmark models, the example model, the meta model."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Rival:
    """One participant. groups: feature groups that it uses; empty: all. trees_share: 0 for a ridge regression."""

    name: str
    target: str
    stake: float
    groups: tuple[str, ...] = ()
    trees_share: float = 0.0
    seed: int = 0


BENCHMARKS = (
    Rival("v53_lgbm_ender20", "target_ender_20", stake=2.0, trees_share=1.0, seed=20),
    Rival("v53_lgbm_ender60", "target_ender_60", stake=3.0, trees_share=1.0, seed=60),
)
BENCHMARK_NAMES = tuple(rival.name for rival in BENCHMARKS)
EXAMPLE = "v53_lgbm_ender60"
META_MODEL = "numerai_meta_model"
PREDICTIONS = (META_MODEL, *BENCHMARK_NAMES)
"""Columns of the published predictions of an era, in this order wherever they form an array (n, 3)."""
