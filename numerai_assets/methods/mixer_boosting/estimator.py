"""An ensemble of boosted trees over the base features and the columns of TSMixer blocks.

Paper: Chen et al. 2023, TSMixer (arXiv 2303.06053). The mixing along time and along features, its subject, is done by the
feature blocks `payoff_panel`, `trajectory_mixer` and `mixing`, whose columns are part of the panel. This module trains
trees on these columns and on the features themselves: Numerai pays for ranks, and trees are hard to beat on features of
five bins.

A member is one combination of target x seed x phase x booster. Phase p of k has the eras whose number is p modulo k. So no
era is left out, memory holds a k-th of the eras at a time, and with four phases the 20-day targets of a member's eras share
no return. The members of a phase share one set of bins. The predictions are blended by rank within the era.

Batches of a phase's eras are for data that does not fit into memory otherwise: if payoffs drift, trees grown on a few eras
at a time find less. Measured on a planted market (benchmarks/mixer_boosting.py, 20 eras per phase), CORR is 0.040 on all
eras at once; on four batches of 5 eras it is 0.033 if they take turns eight times, 0.030 once, and 0.030 in 32 turns each.
"""

import itertools
import math
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from numerai_assets.eras import fewest_eras, horizon_of, last_era_before, purge
from numerai_assets.errors import MethodError
from numerai_assets.execution import LOCAL
from numerai_assets.methods.boosted_trees import DEEP, SHALLOW, BoostedTrees, importance_table
from numerai_assets.methods.contract import Suggests, check_features
from numerai_assets.methods.mixer_boosting.grown_trees import GrownTrees, Growth, LightgbmTrees, XgboostTrees
from numerai_assets.methods.rank_blend import RANKS, Ranks, blended, centred_ranks, equal_weights, learned_weights
from numerai_assets.panel.estimator import read_about, write_about
from numerai_assets.panel.panel import EraPanel
from numerai_assets.progress import Progress, silent
from numerai_assets.trees.era_objectives import OBJECTIVES, EraObjective, EraTargets, Objective

BOOSTERS: dict[str, tuple[type[GrownTrees], dict[str, Any]]] = {
    "gbdt": (LightgbmTrees, {}),
    "dart": (LightgbmTrees, {"boosting": "dart"}),
    "goss": (LightgbmTrees, {"data_sample_strategy": "goss"}),
    "xgboost": (XgboostTrees, {}),
}
"""Boosters by name: the class of their trees, and the library's parameters besides those of the method."""


@dataclass(frozen=True)
class Member:
    """One member of the ensemble: the target, seed, phase and booster of its fit."""

    target: str
    seed: int
    phase: int
    booster: str


Ensemble = dict[Member, GrownTrees]


@dataclass(kw_only=True, eq=False, repr=False)
class MixerBoosting(BoostedTrees):
    """LightGBM and XGBoost on several targets, seeds and phases of eras.

    extra_targets: further targets to train on; the main one may be among them. seeds: number of seeds. phases: number of
    phases; more than one needs every_eras 1. boosters: names in `BOOSTERS`. objective: of `era_objectives`. boosting_rounds:
    rounds of era boosting, 1 for none; boosting_share: share of the eras in each round after the first. batches: number of
    batches per phase, each read and trained on alone, so that only one is in memory; era boosting starts again with each.
    passes: number of turns that each batch takes if there are several; many, because trees grown in a row on one batch
    overfit it. ranks: "uniform" or "gaussian", the ranks that are averaged. blending_eras: number of newest training eras on
    which the blend's weights are learned, from members trained a second time on the eras before; 0 for equal weights.
    extend_share: trees that `extend` adds, as a share of n_estimators. The others are those of `BoostedTrees`.
    """

    name: ClassVar[str] = "mixer_boosting"
    profiles = MappingProxyType(
        {
            "smoke": SHALLOW | {"phases": 1, "extra_targets": ["target_ender_20"]},
            # About four times the benchmark's fit: each row is in as many trees, but no era is left out. Payoffs over 60 days
            # also show over 20, and three times as many 20-day targets do not overlap.
            "quick": {"boosters": ["gbdt"], "extra_targets": ["target_ender_20"]},
            "full": DEEP
            | {
                # A phase has a quarter of the rows.
                "min_data_in_leaf": 2_500,
                # XGBoost is not faster with few features per tree: it takes about seven times LightGBM's time.
                "boosters": ["gbdt", "xgboost"],
                "extra_targets": ["target_ender_20"],
            },
        }
    )

    extra_targets: Sequence[str] = ()
    seeds: int = 1
    phases: int = 4
    boosters: Sequence[str] = ("gbdt",)
    objective: Objective = "mse"
    boosting_rounds: int = 1
    boosting_share: float = 0.5
    batches: int = 1
    passes: int = 8
    ranks: Ranks = "gaussian"
    blending_eras: int = 0
    extend_share: float = 0.1
    n_estimators: int = 1000
    learning_rate: float = 0.02
    every_eras: int = 1

    @classmethod
    def search_space(cls, trial: Suggests) -> dict[str, Any]:
        """The space of boosted trees, the objective and the ranks that are averaged."""
        return super().search_space(trial) | {
            "objective": trial.suggest_categorical("objective", OBJECTIVES),
            "ranks": trial.suggest_categorical("ranks", RANKS),
        }

    @property
    def auxiliary_targets(self) -> tuple[str, ...]:
        """Targets besides the main one that the training panel carries."""
        return tuple(self.extra_targets)

    @property
    def least_eras(self) -> int:
        """One era for each batch of each phase, or two if the objective needs a standard deviation over eras."""
        return self.phases * self.batches * self._least_eras_of_batch

    def fit(self, panel: EraPanel, *, target: str, seed: int, progress: Progress = silent) -> Self:
        """Fits each member on the rows of its phase's eras whose target, the main or an extra one, is known.

        Raises MethodError for contradictory parameters and for a target that is known in too few eras.
        """
        self._check_parameters(target)
        members = self._members(target)
        stumps: Ensemble = {member: BOOSTERS[member.booster][0]() for member in members}
        used = self._eras_used(panel, target)
        if self.blending_eras:
            before, after = self._cut_for_blending(panel, target)
            twins = self._grown(stumps, before, self.n_estimators, seed, progress)
            weights = learned_weights(zip(self._ranks(twins, after), after.targets_of_block[target], strict=True))
            used["blending"] = list(after.eras)
        else:
            weights = equal_weights(len(members))
        self.trees_ = self._grown(stumps, panel, self.n_estimators, seed, progress)
        self.weights_ = weights
        self.target_ = target
        self.feature_names_ = panel.feature_names
        self.growths_ = 1
        self.eras_used_ = used
        return self

    def extend(self, panel: EraPanel, *, target: str, seed: int, progress: Progress = silent) -> Self:
        """Adds `extend_share` of n_estimators trees to each member, grown on the panel's eras, old and new or only new.

        The blend's weights stay the same. The same seed, data and number of growths before give the same trees. Raises
        MethodError for another target or other features than those of the fit, and for a target that is known in too few
        eras of the panel.
        """
        check_features(self, panel)
        if target != self.target_:
            raise MethodError(f"{self.name}: fitted on {self.target_}, cannot be extended on {target}")
        trees = math.ceil(self.extend_share * self.n_estimators)
        self.trees_ = self._grown(self.trees_, panel, trees, seed, progress, growths=self.growths_)
        self.growths_ += 1
        seen = self._eras_used(panel, target)
        grown = {use: sorted({*self.eras_used_[use], *eras}) for use, eras in seen.items()}
        self.eras_used_ = {**self.eras_used_, **grown}
        return self

    def predict(self, panel: EraPanel) -> NDArray[np.float32]:
        """(n,) float32 in (0, 1), ranked within each era. Raises MethodError when the features are not those of the fit."""
        check_features(self, panel)
        return blended(self.weights_, self._ranks(self.trees_, panel), panel.rows_of_era)

    def save(self, folder: Path) -> None:
        """Writes each member's models, LightGBM's as text and XGBoost's as binary JSON, and the rest as JSON."""
        for stem, trees in zip(_stems(self.trees_), self.trees_.values(), strict=True):
            trees.save(folder, stem)
        about = {
            "parameters": self.get_params(),
            "members": [asdict(member) for member in self.trees_],
            "weights": self.weights_.tolist(),
            "target": self.target_,
            "growths": self.growths_,
            "eras_used": self.eras_used_,
            "feature_names": self.feature_names_,
        }
        write_about(folder, about)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """The estimator that `save` wrote."""
        about = read_about(folder)
        method = cls.of_stored(about["parameters"])
        members = [Member(**member) for member in about["members"]]
        method.trees_ = {
            member: BOOSTERS[member.booster][0].load(folder, stem)
            for stem, member in zip(_stems(members), members, strict=True)
        }
        method.weights_ = np.asarray(about["weights"], np.float64)
        method.target_ = about["target"]
        method.growths_ = about["growths"]
        method.eras_used_ = about["eras_used"]
        method.feature_names_ = tuple(about["feature_names"])
        return method

    def explain(self, panel: EraPanel) -> pd.DataFrame:
        """Columns feature, gain (share of a member's total, averaged by the members' weights) and splits of all members.

        The panel is not needed for these.
        """
        found = [trees.importances(len(self.feature_names_)) for trees in self.trees_.values()]
        shares = np.array([gain / max(gain.sum(), 1e-300) for gain, _ in found])
        splits = np.sum([splits for _, splits in found], axis=0)
        return importance_table(self.feature_names_, self.weights_ @ shares, splits)

    def contributions(self, panel: EraPanel, rows: NDArray[np.intp]) -> NDArray[np.float32]:
        """(r, d) SHAP values of some rows of a panel of one era: the weighted sum of the members' values.

        The method blends ranks. A member's contributions are those of its raw score, divided by the standard deviation of
        the score within the era, which is its gaussian rank if scores are about normal.
        """
        check_features(self, panel)
        (block,) = panel.blocks
        found = np.zeros((len(rows), len(self.feature_names_)), np.float32)
        for weight, trees in zip(self.weights_, self.trees_.values(), strict=True):
            spread = trees.predict(block, self.execution.cores).std()
            if weight and spread:
                found += np.float32(weight / spread) * trees.contributions(block[:, rows], self.execution.cores)
        return found

    def _members(self, target: str) -> list[Member]:
        targets = dict.fromkeys((target, *self.extra_targets))
        choices = itertools.product(range(self.phases), self.boosters, targets, range(self.seeds))
        return [Member(target, seed, phase, booster) for phase, booster, target, seed in choices]

    def _grown(
        self, trees: Ensemble, panel: EraPanel, number: int, seed: int, progress: Progress, *, growths: int = 0
    ) -> Ensemble:
        """The members with `number` more trees each. growths: number of times they were grown before."""
        turns = self.batches * self.passes if self.batches > 1 else 1
        if number < turns:
            raise MethodError(
                f"{self.name}: {number} trees to grow in {turns} turns of batches; give each at least one"
            )
        self._check_eras(panel, sorted({member.target for member in trees}))
        grown, places = dict(trees), {member: place for place, member in enumerate(trees)}
        done, total = 0, number * len(trees)
        for phase, turn in itertools.product(range(self.phases), range(turns)):
            part = self._part(panel, phase, turn % self.batches)
            more = len(range(turn, number, turns))
            for members in _sharing_bins([member for member in trees if member.phase == phase], part):
                with self._bins(members[0], part, progress) as data:
                    for member in members:
                        label = part.target(member.target)
                        growth = Growth(
                            settings=self,
                            parameters=BOOSTERS[member.booster][1],
                            target=member.target,
                            objective=self._objective(part, label, more),
                            trees=more,
                            seed=int(np.random.default_rng([seed, growths, places[member], turn]).integers(2**31)),
                            told=_counting(progress, done, total),
                        )
                        grown[member] = grown[member].grown(data, part, label, growth)
                        done += more
                    del data
        return grown

    def _bins(self, member: Member, panel: EraPanel, progress: Progress) -> AbstractContextManager[Any]:
        """Bins of all members that share them; the workers of a cluster make their own."""
        if self.execution.compute != LOCAL:
            return nullcontext()
        return BOOSTERS[member.booster][0].bins(panel, panel.target(member.target), self.execution.cores, progress)

    def _part(self, panel: EraPanel, phase: int, batch: int) -> EraPanel:
        """One batch of the eras of a phase; each batch is spread over the whole phase."""
        eras = [era for era in panel.eras if era % self.phases == phase]
        return panel.with_eras(eras[batch :: self.batches])

    def _objective(self, panel: EraPanel, label: NDArray[np.float32], trees: int) -> EraObjective | None:
        """The custom objective; None for squared error, which the libraries have built in."""
        if self.objective == "mse" and self.boosting_rounds == 1:
            return None
        known = ~np.isnan(label)
        rows = np.array([era.sum() for era in np.split(known, panel.edges[1:-1])], np.intp)
        targets = EraTargets.of(label[known], rows)
        return EraObjective(
            self.objective, targets, trees=trees, rounds=self.boosting_rounds, share=self.boosting_share
        )

    def _ranks(self, trees: Ensemble, panel: EraPanel) -> Iterator[NDArray[np.float64]]:
        """(members, n_era) ranks of each era's rows."""
        for block in panel.blocks:
            raw = np.stack([member.predict(block, self.execution.cores) for member in trees.values()])
            yield centred_ranks(raw, self.ranks)

    def _cut_for_blending(self, panel: EraPanel, target: str) -> tuple[EraPanel, EraPanel]:
        """Eras whose targets share no return with the newest `blending_eras`, and these newest eras."""
        known = panel.eras_with(target)
        after = known[-self.blending_eras :]
        longest = max(map(horizon_of, (target, *self.extra_targets)))
        before = [era for era in known if era <= last_era_before(after[0], longest)] if after else []
        if not before:
            raise MethodError(
                f"{self.name}: {target} is known in {len(known)} eras of the panel; weights learned on "
                f"{self.blending_eras} eras need at least {fewest_eras(self.blending_eras, longest)}, {purge(longest)} of "
                "them purged"
            )
        return panel.with_eras(before), panel.with_eras(after)

    def _eras_used(self, panel: EraPanel, target: str) -> dict[str, list[int]]:
        own = {"fit": panel.eras_with(target)}
        return own | {f"fit:{name}": panel.eras_with(name) for name in self.extra_targets if name != target}

    def _check_eras(self, panel: EraPanel, targets: Sequence[str]) -> None:
        """Raises MethodError for a target that is known in too few eras for some member."""
        least = self._least_eras_of_batch
        for name, phase, batch in itertools.product(targets, range(self.phases), range(self.batches)):
            if len(self._part(panel, phase, batch).eras_with(name)) < least:
                raise MethodError(
                    f"{self.name}: {name} is known in {len(panel.eras_with(name))} eras of {panel.eras[:1]}.."
                    f"{panel.eras[-1:]}; {self.phases} phases of {self.batches} batches need at least "
                    f"{self.phases * self.batches * least}, one after the other"
                )

    @property
    def _least_eras_of_batch(self) -> int:
        # A single correlation has no standard deviation.
        return 2 if self.objective == "sharpe" else 1

    def _check_parameters(self, target: str) -> None:
        """Raises MethodError for contradictory hyperparameters."""
        for parameter in ("seeds", "phases", "batches", "passes", "boosting_rounds"):
            if getattr(self, parameter) < 1:
                raise MethodError(f"{self.name}: {parameter} is {getattr(self, parameter)}, expected at least 1")
        for parameter, given, known in (
            ("boosters", self.boosters, BOOSTERS),
            ("objective", [self.objective], OBJECTIVES),
            ("ranks", [self.ranks], RANKS),
        ):
            unknown = [choice for choice in given if choice not in known]
            if unknown or not given:
                raise MethodError(
                    f"{self.name}: {parameter} {unknown[:1] or given}, expected some of {', '.join(known)}"
                )
        if self.every_eras > 1 and self.phases > 1:
            raise MethodError(
                f"{self.name}: every_eras is {self.every_eras} and phases {self.phases}; phases deal out the eras, so leave "
                "one of them at 1"
            )


def _sharing_bins(members: Sequence[Member], panel: EraPanel) -> list[list[Member]]:
    """Members of one library whose targets are known for the same rows."""
    groups: dict[tuple[type, bytes], list[Member]] = {}
    for member in members:
        known = ~np.isnan(panel.target(member.target))
        groups.setdefault((BOOSTERS[member.booster][0], known.tobytes()), []).append(member)
    return list(groups.values())


def _counting(progress: Progress, before: int, total: int) -> Callable[[int], None]:
    """Reports trees grown after `before` others."""
    return lambda trees: progress("trees", before + trees, total)


def _stems(members: Collection[Member]) -> list[str]:
    """Prefix of the file names of each member."""
    return [f"{place:03d}.{member.booster}" for place, member in enumerate(members)]
