"""An ensemble of boosted trees over the base features and the columns of TSMixer blocks.

Paper: Chen et al. 2023, TSMixer (arXiv 2303.06053). What it is about, mixing along time and along features, is done by the
feature blocks `payoff_panel`, `trajectory_mixer` and `mixing`; their columns come with the panel like any other. What is
here learns from them beside the features as they are: a rank is what Numerai pays for, and trees are hard to beat on
five-level features.

A member is one choice of each of target x seed x phase x booster. Phase p of k takes the eras whose number leaves p when
divided by k: no era is left out, eras of a member are so far apart that, of four phases, their 20-day targets share no
return, and what is held in memory is a k-th. The members of a phase share one set of bins. What they predict is blended by
ranks within the era.

Batches of a phase's eras are for what does not fit otherwise: where payoffs drift, trees grown on a few eras at a time find
less. Measured on a planted market (benchmarks/mixer_boosting.py, 20 eras a phase): CORR 0.040 on all at once, 0.033 on four
batches of 5 that take turns eight times, 0.030 once, and 0.030 in 32 turns each.
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
from numerai_assets.methods.contract import Suggests, check_features, rank_within_eras
from numerai_assets.methods.mixer_boosting.grown_trees import GrownTrees, Growth, LightgbmTrees, XgboostTrees
from numerai_assets.methods.rank_blend import RANKS, Ranks, centred_ranks, equal_weights, learned_weights
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
"""Boosters by name: whose trees, and what the library is told beside the method's parameters."""


@dataclass(frozen=True)
class Member:
    """What one member of the ensemble is fitted on and by."""

    target: str
    seed: int
    phase: int
    booster: str


Ensemble = dict[Member, GrownTrees]


@dataclass(kw_only=True, eq=False, repr=False)
class MixerBoosting(BoostedTrees):
    """LightGBM and XGBoost on several targets, seeds and phases of eras.

    extra_targets: fitted on beside the main one, which may be among them. seeds: how many. phases: into how many the eras
    are dealt; above 1 with every_eras 1. boosters: of `BOOSTERS`. objective: of `era_objectives`. boosting_rounds: of era
    boosting, 1 for none; boosting_share: of the eras, in each round after the first. batches: into how many the eras of a
    phase are cut, each read and grown on by itself, so that no others are held; era boosting begins anew with each. passes:
    how often all batches, where there is more than one, take their turn: many, for trees grown in a row on one batch learn it
    by heart. ranks: "uniform" or "gaussian", what is averaged. blending_eras: how many of the newest fitted eras the blend's
    weights are learned on, from members fitted once more before them; 0 for equal weights. extend_share: trees that `extend`
    adds, as a share of n_estimators. The others are those of `BoostedTrees`.
    """

    name: ClassVar[str] = "mixer_boosting"
    profiles = MappingProxyType(
        {
            "smoke": SHALLOW | {"phases": 1, "extra_targets": ["target_ender_20"]},
            # About four times the benchmark's fit: each row is in as many trees, but no era is left out. What pays over 60 days
            # pays over 20, and three times as many of these do not overlap.
            "quick": {"boosters": ["gbdt"], "extra_targets": ["target_ender_20"]},
            "full": DEEP
            | {
                # A phase has a quarter of the rows.
                "min_data_in_leaf": 2_500,
                # XGBoost does not gain from few features a tree: about seven times LightGBM's time.
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
    max_depth: int = 5
    num_leaves: int = 31
    colsample_bytree: float = 0.1
    min_data_in_leaf: int = 20
    every_eras: int = 1

    @classmethod
    def search_space(cls, trial: Suggests) -> dict[str, Any]:
        """That of boosted trees, what they are grown for and what of them is averaged."""
        return super().search_space(trial) | {
            "objective": trial.suggest_categorical("objective", OBJECTIVES),
            "ranks": trial.suggest_categorical("ranks", RANKS),
        }

    @property
    def auxiliary_targets(self) -> tuple[str, ...]:
        """Targets that the panel it is fitted on carries beside the main one."""
        return tuple(self.extra_targets)

    @property
    def least_eras(self) -> int:
        """One era, or two where a deviation over eras is wanted, for each batch of each phase."""
        return self.phases * self.batches * self._least_eras_of_batch

    def fit(self, panel: EraPanel, *, target: str, seed: int, progress: Progress = silent) -> Self:
        """Fits each member on the rows of the panel's eras of its phase whose target, the main or an extra one, is known.

        Raises MethodError for parameters that do not go together and for a target that is known in too few eras.
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
        """Grows `extend_share` of n_estimators more trees on each member, on the panel's eras, old and new or new alone.

        The blend's weights stay. Same seed, same data, same number of growths before: same trees. Raises MethodError for
        another target or other features than those fitted, and for a target that is known in too few eras of the panel.
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
        """(n,) float32 in (0, 1), ranked within each era. Raises MethodError when the features are not those fitted."""
        check_features(self, panel)
        # Not a matrix product, whose rounding depends on where a row stands.
        blended = [np.sum(self.weights_[:, None] * ranks, axis=0) for ranks in self._ranks(self.trees_, panel)]
        return rank_within_eras(np.concatenate(blended), panel.rows_of_era)

    def save(self, folder: Path) -> None:
        """Writes each member's models, LightGBM's as text and XGBoost's as binary JSON, and all else as JSON."""
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
        """(r, d) SHAP values of some rows of a panel of one era: the members', by their weights.

        What is blended are ranks. A member's parts are those of its raw score over the standard deviation of this within the
        era, for which a gaussian rank is another name as long as scores are about normal.
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
        """The members with so many trees more each. growths: how often they were grown before."""
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
        """Of all members that share them; a cluster's workers make their own."""
        if self.execution.compute != LOCAL:
            return nullcontext()
        return BOOSTERS[member.booster][0].bins(panel, panel.target(member.target), self.execution.cores, progress)

    def _part(self, panel: EraPanel, phase: int, batch: int) -> EraPanel:
        """One batch of the eras of a phase; each batch is spread over all of them."""
        eras = [era for era in panel.eras if era % self.phases == phase]
        return panel.with_eras(eras[batch :: self.batches])

    def _objective(self, panel: EraPanel, label: NDArray[np.float32], trees: int) -> EraObjective | None:
        """None for what the libraries do by themselves."""
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
        """Eras whose targets share no return with the newest `blending_eras`, and these."""
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
        """Raises MethodError for a target that some member would find in too few eras."""
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
        # One correlation alone has no standard deviation.
        return 2 if self.objective == "sharpe" else 1

    def _check_parameters(self, target: str) -> None:
        """Raises MethodError for hyperparameters that do not go together."""
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
    """Tells of trees grown after `before` others."""
    return lambda trees: progress("trees", before + trees, total)


def _stems(members: Collection[Member]) -> list[str]:
    """Begin of the names of each member's files."""
    return [f"{place:03d}.{member.booster}" for place, member in enumerate(members)]
