"""Mixers in one bank compared with the same mixers one by one; permuted features with scikit-learn's permutation importance.

    python -m benchmarks.learned_blocks --eras 4 --rows 6000 --features 3555

The table compares the same work, on one step and on one era. As a program it also fits and transforms whole blocks on `eras`
eras, each in a process of its own, and extrapolates to 100 eras in proportion.
"""

import argparse
from typing import Any

import lightgbm as lgb
import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.inspection import permutation_importance
from torch import Tensor, nn

from benchmarks.table import Cost, Row, in_process, package, print_rows, timed
from numerai_assets.evaluation.metrics import corr
from numerai_assets.features.fitting.correlations import alike, mean_correlations
from numerai_assets.features.learned.selection import FeatureSelection
from numerai_assets.methods.mixer_boosting.feature_mixing import FeatureMixing
from numerai_assets.methods.mixer_boosting.mixer_bank import MixerBank, MixerShape
from numerai_assets.nn.losses import era_correlations
from numerai_assets.panel.panel import EraPanel
from numerai_assets.trees.lightgbm_bins import BIN_PARAMETERS
from numerai_assets.trees.permuted_trees import permuted_predictions, trees_of

_TARGET = "target_ender_20"
_PERMUTED = 20
_TREES = 300


class PlainMixer(nn.Module):
    """One mixer of a bank in plain torch: rows first, a Linear for each product."""

    def __init__(self, bank: MixerBank, mixer: int) -> None:
        super().__init__()
        shape = bank.shape
        g, w, k = shape.groups, shape.width, shape.hidden
        embeds = [nn.Linear(shape.channels, w) for _ in range(g)]
        self.embed = nn.ModuleList(embeds)
        self.norm = nn.LayerNorm((g, w), elementwise_affine=False)
        self.token_in, self.token_out = nn.Linear(g, k), nn.Linear(k, g)
        self.channel_in, self.channel_out = nn.Linear(w, k), nn.Linear(k, w)
        self.to_units, self.to_prediction = nn.Linear(g * w, shape.units), nn.Linear(shape.units, 1)
        state = {name: values[mixer] for name, values in bank.state_dict().items()}
        with torch.no_grad():
            for group, embed in enumerate(embeds):
                embed.weight.copy_(state["embed.weight"][group])
                embed.bias.copy_(state["embed.bias"][group, :, 0])
            for name in ("token_in", "token_out", "channel_in", "channel_out", "to_units", "to_prediction"):
                whole = name if name.startswith("to_") else f"blocks.0.{name}"
                layer = getattr(self, name)
                layer.weight.copy_(state[f"{whole}.weight"].reshape(layer.weight.shape))
                layer.bias.copy_(state[f"{whole}.bias"].flatten())

    def forward(self, features: Tensor) -> Tensor:
        """(n,) of (n, g, c)."""
        mixed = torch.stack([embed(features[:, group]) for group, embed in enumerate(self.embed)], dim=1)
        across = self.token_out(torch.relu(self.token_in(self.norm(mixed).transpose(1, 2))))
        mixed = mixed + across.transpose(1, 2)
        mixed = mixed + self.channel_out(torch.relu(self.channel_in(self.norm(mixed))))
        predictions: Tensor = self.to_prediction(torch.tanh(self.to_units(self.norm(mixed).flatten(1))))
        return predictions.squeeze(1)


class _Fitted(BaseEstimator):  # type: ignore[misc]
    """A booster with the interface of scikit-learn's importance."""

    def __init__(self, booster: lgb.Booster) -> None:
        self.booster = booster

    def fit(self, features: NDArray[np.int8], target: NDArray[np.float32]) -> "_Fitted":
        return self

    def score(self, features: NDArray[np.int8], target: NDArray[np.float32]) -> float:
        return float(corr(np.asarray(self.booster.predict(features, num_threads=1))[:, None], target)[0])


def mixer_rows(mixers: int, rows: int) -> list[Row]:
    """One training step, and one pass without gradients. Raises RuntimeError when the results differ."""
    generator = torch.Generator().manual_seed(0)
    bank = MixerBank(MixerShape(mixers, 8, 8), generator=generator)
    features = (torch.randint(0, 5, (mixers, 8, 8, rows), generator=generator) - 2) / 2
    target = torch.randn(rows, generator=generator)
    plain = [PlainMixer(bank, mixer) for mixer in range(mixers)]
    rows_first = [features[mixer].permute(2, 0, 1).contiguous() for mixer in range(mixers)]

    def our_pass() -> Tensor:
        with torch.no_grad():
            return torch.cat([bank(features[some], some=some) for some in bank.parts(rows)])

    def their_pass() -> Tensor:
        with torch.no_grad():
            return torch.stack([mixer(seen) for mixer, seen in zip(plain, rows_first, strict=True)])

    def our_step() -> None:
        bank.zero_grad()
        for some in bank.parts(rows):
            torch.autograd.backward(-era_correlations(bank(features[some], some=some), target).sum())

    def their_step() -> None:
        for mixer, seen in zip(plain, rows_first, strict=True):
            mixer.zero_grad()
            torch.autograd.backward(-era_correlations(mixer(seen)[None], target).sum())

    apart = float((our_pass() - their_pass()).abs().max())
    our_step()
    their_step()
    gradients = zip(
        _gradients(bank.to_units.weight), (_gradients(mixer.to_units.weight) for mixer in plain), strict=True
    )
    apart = max(apart, *(float((mine - theirs).abs().max()) for mine, theirs in gradients))
    if not apart < 1e-4:
        raise RuntimeError(f"mixers differ by {apart:.2g}")
    peer, size = f"{package('torch')}, mixer by mixer", f"{mixers} mixers x {rows:,} rows"
    return [
        Row(f"mixers, a training step, {size}", timed(our_step, repeats=3), peer, timed(their_step, repeats=3)),
        Row(f"mixers, an era's columns, {size}", timed(our_pass, repeats=3), peer, timed(their_pass, repeats=3)),
    ]


def _gradients(weight: Tensor) -> Tensor:
    if weight.grad is None:
        raise RuntimeError("a step left a weight without gradient")
    return weight.grad


def permutation_row(rows: int, features: int) -> Row:
    """CORR lost by each of a few features. Raises RuntimeError when ours is not the CORR of the model on permuted data."""
    panel = _panel(1, rows, features)
    levels, target = panel.blocks[0], panel.target(_TARGET)
    parameters = BIN_PARAMETERS | {"num_leaves": 31, "max_depth": 5, "colsample_bytree": 0.1, "num_threads": 1}
    booster = lgb.train(parameters, lgb.Dataset(levels.T, target), _TREES)
    trees = trees_of(booster)
    clusters = [np.array([feature]) for feature in np.argsort(-booster.feature_importance())[:_PERMUTED]]

    def ours() -> NDArray[np.float64]:
        found = permuted_predictions(trees, levels, clusters, np.random.default_rng(0))
        return corr(np.stack([predictions for predictions, _ in found], axis=1), target)

    permuted = levels.copy()
    permuted[clusters[0]] = permuted[clusters[0]][:, np.random.default_rng(0).permutation(rows)]
    expected = corr(np.asarray(booster.predict(permuted.T))[:, None], target)[0]
    if abs(ours()[1] - expected) > 1e-9:
        raise RuntimeError(f"permuted CORR {ours()[1]} is not {expected}")
    chosen = np.ascontiguousarray(levels.T)

    def theirs() -> Any:
        # scikit-learn permutes every feature of the data, so the data has only the few and the model keeps the rest.
        class Rest(_Fitted):
            def score(self, features: NDArray[np.int8], target: NDArray[np.float32]) -> float:
                chosen[:, np.concatenate(clusters)] = features
                return super().score(chosen, target)

        some = np.ascontiguousarray(levels[np.concatenate(clusters)].T)
        return permutation_importance(Rest(booster), some, target, n_repeats=1, random_state=0)

    what = f"permuting {_PERMUTED} features of an era, {rows:,} x {features:,}, {_TREES} trees"
    return Row(
        what, timed(ours, repeats=1), f"{package('scikit-learn')} permutation_importance", timed(theirs, repeats=1)
    )


def measure(quick: bool) -> list[Row]:
    """Rows of the table. Raises RuntimeError when the results differ."""
    return [*mixer_rows(8 if quick else 32, 2048), permutation_row(6000, 600 if quick else 3555)]


def fit_mixing(eras: int, rows: int, features: int, epochs: int) -> None:
    """A fit with given groups: finding them costs the same for any number of eras."""
    panel = _panel(eras, rows, features)
    groups = {str(place): names.tolist() for place, names in enumerate(np.array_split(panel.feature_names, 8))}
    FeatureMixing(epochs=epochs, groups=groups).fit(panel, target=_TARGET, seed=0)


def find_groups(rows: int, features: int) -> None:
    alike(mean_correlations(_panel(8, rows, features), 8), 8)


def transform_cost(eras: int, rows: int, features: int) -> Cost:
    """The columns of a later era, from two folds, times `eras`."""
    panel = _panel(5, rows, features)
    block = FeatureMixing(epochs=1, rows=64).fit(panel.with_eras(panel.eras[:4]), target=_TARGET, seed=0)
    later = panel.with_eras(panel.eras[4:])
    return timed(lambda: [block.transform(later) for _ in range(eras)], repeats=1)


def fit_selection(eras: int, rows: int, features: int, trees: int) -> None:
    FeatureSelection(every_eras=1, n_estimators=trees).run_on(threads=1).fit(
        _panel(eras, rows, features), target=_TARGET, seed=0
    )


def _panel(eras: int, rows: int, features: int) -> EraPanel:
    """Eras 20 apart, so that no targets overlap."""
    numbers, rng = [1 + 20 * era for era in range(eras)], np.random.default_rng(0)
    blocks = tuple(rng.integers(0, 5, (features, rows), dtype=np.int8) for _ in numbers)
    aims = tuple(
        (np.clip(np.round(b[:20].mean(0) + rng.normal(size=rows)), 0, 4) / 4).astype(np.float32) for b in blocks
    )
    ids = tuple(np.array([f"n{era:04d}{row:011x}" for row in range(rows)], object) for era in numbers)
    return EraPanel(blocks, tuple(f"feature_{i}" for i in range(features)), tuple(numbers), ids, {_TARGET: aims})


def _print_whole(what: str, cost: Cost, eras: int) -> None:
    print(
        f"{what}: {cost.cpu_seconds:.1f} CPU s for {eras} eras, {cost.cpu_seconds / eras * 100:.0f} for 100; "
        f"{cost.anonymous / 1e6:.0f} MB, panel included"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("eras", 4), ("rows", 6000), ("features", 3555)):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    size = (options.eras, options.rows, options.features)
    torch.set_num_threads(1)
    print_rows(measure(False))
    _print_whole("fit of 32 mixers, 2 folds, an epoch", in_process(fit_mixing, *size, 1), options.eras)
    _print_whole("their columns of later eras", transform_cost(*size), options.eras)
    groups = in_process(find_groups, *size[1:])
    print(f"finding the groups, once: {groups.cpu_seconds:.1f} CPU s, {groups.anonymous / 1e6:.0f} MB with the panel")
    _print_whole("selection, 30 trees", in_process(fit_selection, *size, 30), options.eras)
    _print_whole("selection, 60 trees", in_process(fit_selection, *size, 60), options.eras)
