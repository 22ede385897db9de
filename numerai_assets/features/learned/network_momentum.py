"""Momentum of peer groups and of their neighbours in a learned graph.

Papers: Pu et al. 2023, L2GMOM (arXiv 2308.12212), network momentum: the features of an asset's neighbours in a learned
graph, normalised, predict it as its own do, y = A~ (U theta) + b; Kalofolias 2016 for the graph (`graph_learning`).

Changed for Numerai. Nodes are peer groups of rows (`groups.peers`), as rows have no past. A group's return in an era is the
mean centred target of its rows, by their loadings; returns summed are its price, and U its momentum. Targets of neighbouring
eras share days; `momentum_indicators` and `target_momentum` correct for that. The block reads the 20-day target: it
resolves five eras later, the 60-day one thirteen, and followers repeat the recent returns of leaders.

Groups are found in the space of the features along which returns spill over (`spillover`): a leader resembles its followers
in some features, not in all. The graph joins groups whose momentum correlates and whose centres are close. It is learned
once a vintage from all training eras; graphs of shorter windows are noise. Columns are not cross-fitted: from the targets of
training eras they know only the choice of features, the graph and the nine numbers of theta.

The columns of a row are its groups' own momentum, that of their neighbours, and the score, all weighted by its loadings.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import squareform

from numerai_assets.eras import horizon_of, look_back_to, resolve_lag, spanned_eras
from numerai_assets.errors import FeatureError
from numerai_assets.features.contract import FittedBlock
from numerai_assets.features.fitting.correlations import leaders, mean_correlations
from numerai_assets.features.fitting.memo import Kept, digest_of
from numerai_assets.features.fitting.resolved_targets import MIDDLE, centred_target
from numerai_assets.features.fitting.training_eras import eras_to_fit, only_era
from numerai_assets.features.groups.momentum_indicators import macd, prices, scaled_return
from numerai_assets.features.groups.peers import PeerGroups, group_returns
from numerai_assets.features.groups.spillover import FEWEST_PAIRS, level_means, strengths
from numerai_assets.features.plots import COLOURS, empty_axes, png
from numerai_assets.nn.graph_learning import learn_graph, normalised
from numerai_assets.panel.estimator import read_about, write_about
from numerai_assets.panel.panel import EraPanel, History, Reads
from numerai_assets.progress import Progress, silent

Array = NDArray[np.float64]

RETURNS = (1, 4, 13, 26, 52)
TRENDS = ((2, 6), (4, 12), (8, 24))
_VOLATILITY = 13
MEASURES = (*(f"return_{eras}" for eras in RETURNS), *(f"macd_{short}_{long}" for short, long in TRENDS))
"""Of a group's momentum, as in the paper: five scaled returns, of which the first is the newest one, and three trends."""

# Candidates for the features that groups are found on, and the correlation from which two count as one.
_CANDIDATES, _ALIKE = 256, 0.5
_GROUPING_ERAS = 8
# An edge is a weight of at least this share of the largest: iterations end near 0, not exactly at 0.
_EDGE = 1e-3
_GRAPH = "graph.npy"
# Eras whose group returns are kept: many, because each is a few numbers.
_KEPT: Kept[Array] = Kept(8192)


@dataclass(kw_only=True, eq=False, repr=False)
class NetworkMomentum(FittedBlock):
    """Own and network momentum of the peer groups of each row.

    groups: number of peer groups; fewer in small markets. nearest: groups that a row belongs to. found_on: number of features
    that groups are found on, those with the most spillover, no two of them correlated; 0 for all. position: weight of the
    groups' centres in the distance that the graph is learned from; the rest is that of their momentum. momentum_target:
    target whose past is read, named in full. look_back: eras before the current one; the last ones have not resolved and
    are not read.
    """

    name: ClassVar[str] = "network_momentum"
    version: ClassVar[int] = 1

    groups: int = 64
    nearest: int = 3
    found_on: int = 4
    position: float = 0.5
    momentum_target: str = "target_ender_20"
    look_back: int = 104

    @property
    def reads(self) -> Reads:
        """Earlier eras and their resolved targets."""
        return Reads(self.look_back, (self.momentum_target,))

    def fit(self, panel: EraPanel, *, target: str, seed: int, progress: Progress = silent) -> Self:
        """Finds groups, their graph and theta on the panel's eras whose `target` is known.

        Raises FeatureError for a look-back shorter than the longest measure, and for too few eras, with the number needed.
        """
        self._check_look_back()
        fitted = panel.with_eras(eras_to_fit(panel, target, 1, block=self.name))
        self.feature_names_ = self._found_on(fitted, progress)
        self.names_ = (*(f"own_{what}" for what in MEASURES), *(f"network_{what}" for what in MEASURES), "score")
        self.groups_ = PeerGroups.of(fitted, self.feature_names_, groups=self.groups, nearest=self.nearest, seed=seed)
        self.digest_ = self.groups_.digest
        momentum, earned, rows = self._past(fitted, target, progress)
        self.graph_ = learn_graph(self._signals(momentum))
        self.theta_ = fitted_theta(momentum @ self._joined, earned, rows)
        return self

    def transform(self, panel: EraPanel) -> NDArray[np.float16]:
        """(17, n) float16 of one era. A measure that needs more resolved eras than exist is NaN, and so is the score.

        Raises FeatureError for a panel of several eras, and for a target that is wholly unknown in an era by which it should
        have resolved; StoreError for a panel that lacks a feature or carries no history.
        """
        era = only_era(panel, block=self.name)
        own = momentum_of(self._returns(panel.history(era)), horizon_of(self.momentum_target))
        network = own @ self._joined
        score = self.theta_[:-1] @ network + self.theta_[-1]
        of_groups = np.vstack([own, network, score[None]])
        return np.asarray((self.groups_.loadings(panel) @ of_groups.T).T, np.float16)

    def save(self, folder: Path) -> None:
        """Writes the groups, the graph as .npy, and theta as JSON."""
        self.groups_.save(folder)
        np.save(folder / _GRAPH, self.graph_, allow_pickle=False)
        about = {"parameters": self.get_params(), "names": self.names_, "theta": self.theta_.tolist()}
        write_about(folder, about)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """The block that `save` wrote."""
        about = read_about(folder)
        block = cls.of_stored(about["parameters"])
        block.names_, block.theta_ = tuple(about["names"]), np.array(about["theta"])
        block.groups_ = PeerGroups.load(folder)
        block.digest_ = block.groups_.digest
        block.feature_names_ = block.groups_.feature_names
        block.graph_ = np.load(folder / _GRAPH, allow_pickle=False)
        return block

    @property
    def density(self) -> float:
        """Share of pairs of groups with an edge: 1 for a graph that has collapsed to the complete one."""
        pairs = squareform(self.graph_, checks=False)
        return float((pairs > _EDGE * pairs.max()).mean())

    def picture(self) -> bytes:
        """A PNG: the graph as a matrix, neighbours beside each other, with its density; the weights of the score."""
        order = _by_cluster(self.graph_)
        figure, (left, right) = empty_axes(1, 2, height=3.8)
        image = left.imshow(self.graph_[np.ix_(order, order)], cmap="Blues", interpolation="nearest")
        figure.colorbar(image, ax=left, shrink=0.85)
        left.set_title(f"graph of {len(order)} groups, density {self.density:.2f}", loc="left", fontsize=10)
        right.barh(MEASURES[::-1], self.theta_[-2::-1], color=COLOURS[0])
        right.axvline(0, color="0.7", linewidth=0.8)
        right.set_title("theta of the neighbours' momentum", loc="left", fontsize=10)
        return png(figure)

    @property
    def _joined(self) -> Array:
        """(g, g) A~."""
        return np.asarray(normalised(torch.from_numpy(self.graph_)).numpy())

    @property
    def _lag(self) -> int:
        return resolve_lag(horizon_of(self.momentum_target))

    def _check_look_back(self) -> None:
        least = look_back_to(max(RETURNS), horizon_of(self.momentum_target))
        if self.look_back < least:
            raise FeatureError(
                f"{self.name}: look_back {self.look_back}: a return over {max(RETURNS)} eras of {self.momentum_target}, "
                f"which resolves after {self._lag}, takes at least {least}"
            )

    def _found_on(self, panel: EraPanel, progress: Progress) -> tuple[str, ...]:
        """The features that groups are found on."""
        if not self.found_on:
            return panel.feature_names
        means, eras = [], []
        for era in panel.eras:
            history = panel.history(era)
            newest = history.resolved_through(self.momentum_target)
            if history.holds(newest) and newest not in eras:
                block = history.panel(newest).with_features(panel.feature_names).blocks[0]
                means.append(level_means(block, centred_target(history, newest, self.momentum_target)))
                eras.append(newest)
            progress("eras searched for spillover", len(eras), len(panel.eras))
        if len(eras) < FEWEST_PAIRS + self._lag:
            raise self._too_few(len(eras), FEWEST_PAIRS + self._lag)
        strength = strengths(np.stack(means), eras, self._lag)
        best = np.argsort(-strength, kind="stable")[:_CANDIDATES]
        candidates = panel.with_features([panel.feature_names[place] for place in best])
        leader = leaders(mean_correlations(candidates, _GROUPING_ERAS), range(len(best)), _ALIKE)
        chosen = np.flatnonzero(leader == np.arange(len(leader)))[: self.found_on]
        return tuple(candidates.feature_names[place] for place in chosen)

    def _past(self, panel: EraPanel, target: str, progress: Progress) -> tuple[Array, Array, Array]:
        """Of eras with enough behind them: momentum (e, measures, g), mean target (e, g) and rows (e, g) of the groups."""
        momentum, earned, rows = [], [], []
        for place, of_era in enumerate(panel.each_era()):
            returns = self._returns(panel.history(of_era.eras[0]))
            if len(returns) >= max(RETURNS):
                loadings = self.groups_.loadings(of_era)
                momentum.append(momentum_of(returns, horizon_of(self.momentum_target)))
                earned.append(group_returns(loadings, of_era.target(target) - MIDDLE))
                rows.append(loadings.sum(axis=0))
            progress("momentum of eras", place + 1, len(panel.eras))
        if not momentum:
            raise self._too_few(len(panel.eras), max(RETURNS) + self._lag)
        return np.stack(momentum), np.stack(earned), np.stack(rows)

    def _too_few(self, found: int, needed: int) -> FeatureError:
        return FeatureError(
            f"{self.name}: {found} eras with a known past of {self.momentum_target} are too few to fit on; it takes "
            f"{needed} eras in a row before the wall, and more for a useful fit"
        )

    def _signals(self, momentum: Array) -> Array:
        """(g, samples) momentum (e, measures, g), each measure on one scale, and the centres of groups, by their weights."""
        past = momentum - momentum.mean(axis=2, keepdims=True)
        past /= np.maximum(past.std(axis=(0, 2), keepdims=True), 1e-12)
        shares = ((past.reshape(-1, past.shape[2]).T, 1 - self.position), (self.groups_.centres, self.position))
        # A mean squared distance is twice the sum of variances.
        return np.hstack([part * np.sqrt(share / part.var(axis=0).sum()) for part, share in shares])

    def _returns(self, history: History) -> Array:
        """(eras, g) returns of the resolved eras in a row within the look-back, oldest first."""
        last = history.resolved_through(self.momentum_target)
        eras = [era for era in range(history.era - self.look_back, last + 1) if history.holds(era)]
        return np.array([self._returns_in(era, history) for era in eras]).reshape(-1, len(self.groups_))

    def _returns_in(self, era: int, history: History) -> Array:
        panel, centred = history.panel(era), centred_target(history, era, self.momentum_target)

        def made() -> Array:
            return group_returns(self.groups_.loadings(panel), centred)

        return _KEPT.of_era(panel, made, self.digest_, digest_of(centred))


def momentum_of(returns: Array, horizon: int) -> Array:
    """(measures, g) of returns (eras, g) that targets of `horizon` weekdays make; NaN for a measure of more eras.

    0 for a group whose price did not move: it has no momentum, and adds none to its neighbours.
    """
    price, overlap = prices(returns), spanned_eras(horizon)
    found = np.array(
        [
            *(scaled_return(returns, eras, overlap) for eras in RETURNS),
            *(macd(price, short, long, _VOLATILITY) for short, long in TRENDS),
        ]
    )
    lacking = np.isnan(found).all(axis=1, keepdims=True)
    return np.asarray(np.where(np.isnan(found) & ~lacking, 0, found))


def fitted_theta(network: Array, earned: Array, rows: Array) -> Array:
    """(measures + 1,) theta and, last, b of earned (e, g) = theta network (e, measures, g) + b, by least squares.

    Each group of each era weighs as many rows (e, g) as it has.
    """
    flat = network.transpose(0, 2, 1).reshape(-1, network.shape[1])
    root = np.sqrt(rows.ravel())
    design = np.column_stack([flat, np.ones(len(flat))]) * root[:, None]
    return np.asarray(np.linalg.lstsq(design, earned.ravel() * root, rcond=None)[0])


def _by_cluster(graph: Array) -> Sequence[int]:
    """Order of the groups that puts neighbours beside each other."""
    apart = 1 - graph / graph.max()
    np.fill_diagonal(apart, 0)
    return [int(place) for place in leaves_list(linkage(squareform(apart, checks=False), method="average"))]
