"""The report of a workspace on one HTML page: validation of the methods, submissions with their reasons, live scores."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

import numpy as np
import pandas as pd

from numerai_assets.eras import era_label, friday_of
from numerai_assets.evaluation import breakdowns, figures, plots
from numerai_assets.evaluation.diagnostics import validation_table
from numerai_assets.evaluation.importance import by_group, over_time
from numerai_assets.evaluation.report import Section, Shown, html_report
from numerai_assets.evaluation.score_summary import summarise
from numerai_assets.pipeline.diagnostics import read_churn, read_scores
from numerai_assets.pipeline.equal_blend import judged_names
from numerai_assets.pipeline.explanations import explanations_are_stale, read_by_era, read_importances
from numerai_assets.pipeline.live_scores import live_payouts, read_live_scores, read_score_configs
from numerai_assets.pipeline.sampled_eras import SampledEras, drifted_shares, sampled_eras
from numerai_assets.pipeline.vintages import refused_vintages
from numerai_assets.pipeline.workspace import Workspace
from numerai_assets.settings import Settings
from numerai_assets.store.atomic import replacing_file
from numerai_assets.store.holdout_ledger import HoldoutLedger
from numerai_assets.tournament.scores import latest_scores
from numerai_assets.tournament.submission import SubmissionDesk

Scores = Mapping[str, pd.DataFrame]

_NO_SCORES = "Train a vintage and let its diagnostics run."
_ERA_BINS = 12
_RECENT_ERAS = 52
_ROWS_OF_RECEIPTS = 40
_ROWS_OF_CHANGES = 30
_FEATURES = 20
_VINTAGE_PAIRS = 12
_SEED_SPREADS = "searches/*.seeds.json"
_SEED_COLUMNS = [
    "search",
    "metric",
    "trial",
    "seeds",
    "eras",
    "mean",
    "error",
    "era_error",
    "seed_error",
    "between_seeds",
]
# Fields of a ScoreSummary, as the table names them.
_MEASURES = {
    "mean": "mean",
    "error": "standard error of the mean",
    "low": "true mean, low end at 90 %",
    "high": "true mean, high end at 90 %",
    "std": "standard deviation",
    "sharpe": "Sharpe ratio",
    "sharpe_low": "Sharpe ratio, low end at 90 %",
    "sharpe_high": "Sharpe ratio, high end at 90 %",
    "adjusted_sharpe": "Sharpe ratio adjusted for overlap",
    "effective_eras": "equivalent independent eras",
    "max_drawdown": "maximum drawdown",
    "drawdown_low": "drawdown of such a run, low end at 90 %",
    "drawdown_high": "drawdown of such a run, high end at 90 %",
    "probabilistic_sharpe": "probability of a true mean above 0",
    "deflated_sharpe": "the same, given the number of variants tried",
    "least_eras": "eras until that probability reaches 0.95",
}


@dataclass(frozen=True)
class Judged:
    """Validation of the predictions, by method and of their equal blend; shown as a page and as plots.

    scores: per era, of methods that have any on the payout target. drifted: share of features by round.
    """

    scores: Scores
    sampled: SampledEras | None
    drifted: Mapping[str, float]

    @classmethod
    def of(cls, workspace: Workspace) -> Self:
        """Reads it from the workspace."""
        names = judged_names(workspace.settings.active_methods)
        read = {name: read_scores(workspace, name) for name in names}
        scores = {name: frame for name, frame in read.items() if frame["corr60"].notna().any()}
        return cls(scores, sampled_eras(workspace, scores), drifted_shares(workspace))


def write_report(workspace: Workspace, path: Path, judged: Judged | None = None) -> None:
    """Writes the page to `path`, completely or not at all. judged: None reads it from the workspace."""
    judged = judged or Judged.of(workspace)
    scores, sampled = judged.scores, judged.sampled
    live, receipts = read_live_scores(workspace), _receipts(workspace.desk)
    sections = [
        _changes(scores, live, receipts),
        *_unfittable(workspace),
        _validation(scores, workspace.holdout_ledger),
        _regimes(scores),
        _methods_beside_each_other(scores, sampled),
        _exposures(scores, sampled),
        _stability(workspace),
        what_matters(workspace),
        _tracking(workspace, scores, live),
        _payouts(live_payouts(live, read_score_configs(workspace))),
        _submissions(receipts),
        _drift(judged.drifted, workspace.settings.gate.greatest_drift),
    ]
    settings = workspace.settings
    heading = f"{settings.tournament}, data {settings.data_version}, {len(workspace.store.eras())} eras in the store"
    heading += _smoke(settings)
    with replacing_file(path) as aside:
        aside.write_text(html_report(heading, sections), encoding="utf-8")


def _unfittable(workspace: Workspace) -> list[Section]:
    rows = [(found.method, era_label(found.vintage), found.reason) for found in refused_vintages(workspace)]
    if not rows:
        return []
    table = pd.DataFrame(rows, columns=["method or block", "vintage", "reason"])
    note = "They are not tried again before their settings or their data change."
    return [Section("Vintages that cannot be fitted", [Shown(table, "Vintages")], note)]


def _smoke(settings: Settings) -> str:
    """A warning that belongs beside every score of methods in profile smoke; empty when there is none."""
    smoke = [name for name in settings.active_methods if settings.methods[name].profile == "smoke"]
    return f". Profile smoke proves that everything is connected, nothing else: {', '.join(smoke)}" if smoke else ""


def inline_plots(workspace: Workspace, judged: Judged) -> dict[str, tuple[bytes, str]]:
    """Figures of the page as PNG bytes with a caption, by name, for places that cannot open a page."""
    found: dict[str, tuple[bytes, str]] = {}
    sampled = judged.sampled
    if sampled is not None:
        found["calibration"] = (plots.calibration_curves(sampled.calibration, "Mean target by tenth"), "calibration")
        for name, exposures in sampled.exposures.items():
            binned, title = breakdowns.era_bins(exposures, _ERA_BINS).T, f"Exposure of {name} to feature groups"
            found[f"exposures_of_{name}"] = plots.heat_map(binned, title, is_signed=False), f"exposures of {name}"
        if len(judged.scores) > 1:
            correlated = plots.heat_map(sampled.correlations, "Rank correlation of predictions", greatest=1.0)
            found["correlations"] = correlated, "rank correlation of predictions"
    for slot, (live, validation) in live_of_slots(workspace, judged.scores, read_live_scores(workspace)).items():
        title = f"{slot}: live, and nine of ten eras of validation"
        found[f"live_of_{slot}"] = plots.tracking(live, validation, title), f"live scores of {slot}"
    if judged.drifted:
        limit, title = workspace.settings.gate.greatest_drift, "Features that drifted, by round"
        found["drift"] = plots.drift(judged.drifted, limit, title), "drift"
    return found


def _changes(scores: Scores, live: pd.DataFrame, receipts: pd.DataFrame) -> Section:
    newest = breakdowns.newest_resolved(scores)
    moved = breakdowns.week_changes(live).head(_ROWS_OF_CHANGES)
    shown = []
    if len(receipts):
        last = receipts[receipts["round"] == receipts["round"].max()]
        shown.append(Shown(last[["round", "slot", "model", "rung", "step"]], "Newest round"))
    if len(newest):
        shown.append(Shown(newest, "Newest resolved era"))
    if len(moved):
        shown.append(Shown(moved, "Live scores that changed"))
    note = (
        "The week ends on the newest day with live scores. place_in_history: share of the method's eras with the same or a "
        "lower score."
    )
    return Section("Since last week", shown, note if shown else "", "Submit to a round and wait for its first scores.")


def _validation(scores: Scores, ledger: HoldoutLedger) -> Section:
    shown = []
    if scores:
        baseline = next(iter(scores))
        paired = breakdowns.paired_with(baseline, scores) if len(scores) > 1 else pd.DataFrame()
        shown = [
            Shown(breakdowns.compared_methods(scores), "Methods"),
            *([Shown(paired, f"Difference to {baseline}, era by era")] if len(paired) else []),
            *_payout_summary(scores, ledger),
            Shown(figures.cumulative(scores), "Cumulative scores"),
            Shown(figures.drawdowns(scores), "Drawdowns"),
            *(
                Shown(validation_table(frame, trials=ledger.trials(frame.index) or None), f"All scores of {method}")
                for method, frame in scores.items()
            ),
        ]
    note = (
        "Each era is scored with the newest vintage older than it. Standard errors (se) are Newey-West over the eras that "
        "share returns; low and high are the 90 % interval of the true mean. deflated_sharpe: probability of a true mean above "
        "0, given the number of variants validated on these eras. equal_blend: mean rank of all methods. Bands contain 90 % "
        "of the paths of a method with the same mean and standard error."
    )
    return Section("Validation", shown, note, _NO_SCORES)


def _payout_summary(scores: Scores, ledger: HoldoutLedger) -> list[Shown]:
    """One table of the payout of each method with two scored eras or more: a row a measure, a column a method."""
    columns: dict[str, list[object]] = {}
    for method, frame in scores.items():
        paid = frame["payout"].astype(float)
        if paid.count() > 1:
            values, trials = np.asarray(paid, np.float64), ledger.trials(frame.index) or 1
            found = summarise(frame.index, values, horizon=60, trials=trials, seed=0)
            columns[method] = [getattr(found, name) for name in _MEASURES]
    if not columns:
        return []
    return [Shown(pd.DataFrame({"measure": list(_MEASURES.values()), **columns}), "Payout with its uncertainty")]


def _regimes(scores: Scores) -> Section:
    shown = []
    for method, frame in scores.items():
        since = friday_of(int(frame.index[-_RECENT_ERAS])) if len(frame) > 2 * _RECENT_ERAS else None
        shown.append(Shown(breakdowns.regimes(frame, since=since), method))
    note = (
        "By year, by the volatility of the method's own CORR over the 26 previous eras, and before and since the newest 52 "
        "eras. positive: share of eras with a positive CORR."
    )
    return Section("Regimes", shown, note, _NO_SCORES)


def _methods_beside_each_other(scores: Scores, sampled: SampledEras | None) -> Section:
    shown = []
    if sampled is not None:
        if len(scores) > 1:
            correlated = breakdowns.score_correlations(scores)
            shown += [
                Shown(figures.heat_map(sampled.correlations, greatest=1.0), "Rank correlation of predictions"),
                Shown(figures.heat_map(correlated, greatest=1.0), "Correlation of CORR by era"),
            ]
        shown.append(Shown(figures.calibration_curves(sampled.calibration), "Mean target by tenth of the prediction"))
    note = f"On {_eras_of(sampled)}." if sampled is not None else ""
    return Section("Methods compared", shown, note, _NO_SCORES)


def _exposures(scores: Scores, sampled: SampledEras | None) -> Section:
    shown, note = [], ""
    neutral = {
        method: frame for method, frame in scores.items() if frame.get("largest_exposure", pd.Series()).notna().any()
    }
    if neutral:
        shown.append(Shown(figures.over_eras(neutral, ("largest_exposure", "mean_exposure")), "Exposures over eras"))
        note += "Exposures over eras: largest and mean absolute correlation of predictions with a feature. "
    if sampled is not None:
        shown += [
            Shown(
                figures.heat_map(breakdowns.era_bins(table, _ERA_BINS).T, is_signed=False), f"Feature groups, {method}"
            )
            for method, table in sampled.exposures.items()
        ]
        note += f"Feature groups: root mean square correlation with the features of a group, on {_eras_of(sampled)}."
    return Section("Exposures", shown, note, _NO_SCORES)


def _stability(workspace: Workspace) -> Section:
    shown = []
    churned = [
        {"method": method, "vintages": pair} | found
        for method in workspace.settings.active_methods
        for pair, found in list(read_churn(workspace, method).items())[-_VINTAGE_PAIRS:]
    ]
    if churned:
        shown.append(Shown(pd.DataFrame(churned), "Churn between successive vintages"))
    spreads = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(workspace.folder.glob(_SEED_SPREADS))]
    if spreads:
        table = pd.DataFrame(spreads).reindex(columns=_SEED_COLUMNS)
        shown.append(Shown(table, "Several seeds of searched hyperparameters"))
    note = (
        "churn: 1 less the rank correlation of the predictions of two vintages on the newest era; churn_of_ends: share of the "
        "highest and lowest 5 % that changes. era_error, seed_error: standard error of the mean over other eras, over other "
        "seeds; error: over both. between_seeds: standard deviation of the means of the seeds."
    )
    missing = "Train two vintages, or run `numerai search METHOD --seeds 3`."
    return Section("Stability", shown, note if shown else "", missing)


def what_matters(workspace: Workspace) -> Section:
    """Feature importance of every explained method; outdated ones say so."""
    shown = []
    for method in workspace.settings.active_methods:
        table, by_era = read_importances(workspace, method), read_by_era(workspace, method)
        # A user deletes the table by era to have importances recomputed; the other table is then outdated.
        if len(table) and len(by_era):
            best = table.head(_FEATURES)
            of = f"{method} {era_label(by_era['vintage'].max())}"
            if explanations_are_stale(workspace, method):
                of += ", of an older fit"
            shown += [
                Shown(figures.importance(best), f"Features of {of}"),
                Shown(best.drop(columns="permuted_eras"), f"Table of {len(best)} of {len(table)} features"),
                Shown(by_group(table), f"Groups of {method}"),
                Shown(
                    figures.heat_map(over_time(by_era, best["feature"].tolist()), is_signed=False, digits=3),
                    f"Share of each feature by era, {method}",
                ),
            ]
    note = (
        "gain: share of the feature's splits in the gain of the newest vintage. permutation: CORR on ender_60 lost in "
        "out-of-sample eras when the feature is permuted among the rows, with its Newey-West standard error. shap: mean "
        "absolute contribution to the raw score. Correlated features share their importance."
    )
    return Section("Feature importance", shown, note, "Train a vintage and let its explanations run.")


def _tracking(workspace: Workspace, scores: Scores, live: pd.DataFrame) -> Section:
    tracked, shown = live_of_slots(workspace, scores, live), []
    rows = [
        _against_validation(slot, str(name), of_slot[name], validation[name])
        for slot, (of_slot, validation) in tracked.items()
        for name in of_slot
    ]
    if rows:
        shown.append(Shown(pd.DataFrame(rows), "Live scores in the band of validation"))
    shown += [Shown(figures.tracking(*pair), slot) for slot, pair in tracked.items()]
    if len(live):
        newest = latest_scores(live).reset_index()
        shown.append(Shown(newest.iloc[::-1].head(_ROWS_OF_RECEIPTS), "Newest value of each score"))
    note = (
        "The grey band contains nine of ten eras of validation; the dotted line is their mean. Scores of unresolved rounds "
        "still change."
    )
    return Section("Live against validation", shown, note, "Live scores arrive some days after a submission.")


def _payouts(payouts: pd.DataFrame) -> Section:
    shown = []
    known = payouts.dropna(subset="payout")
    if len(known):
        by_slot = known.groupby("slot", sort=False)["payout"]
        totals = by_slot.agg(rounds="size", total="sum", mean="mean", worst="min", best="max")
        totals["positive"] = by_slot.apply(lambda paid: (paid > 0).mean())
        shown += [Shown(totals.reset_index(), "By slot"), Shown(figures.payouts(known), "Cumulative payout")]
    if len(payouts):
        shown.append(Shown(payouts.iloc[::-1].head(_ROWS_OF_RECEIPTS), "By round"))
    note = (
        "Return of a stake on each round, as a share of the stake, under the round's own score configs (rule, factor). "
        "Payouts of unresolved rounds still change; positive is the share of rounds that pay."
    )
    return Section("Payouts", shown, note, "Payouts follow from live scores.")


def live_of_slots(
    workspace: Workspace, scores: Scores, live: pd.DataFrame
) -> dict[str, tuple[pd.DataFrame, pd.DataFrame]]:
    """CORR and MMC by round of each slot with live scores, and the validation scores of its method."""
    found = {}
    newest = latest_scores(live) if len(live) else live
    for slot in newest.index.get_level_values("slot").unique() if len(newest) else ():
        of_slot = newest[newest.index.get_level_values("slot") == slot].droplevel("slot")
        validation = scores.get(workspace.settings.slots.get(str(slot), ""))
        named = [name for name in ("corr60", "mmc60") if name in of_slot and of_slot[name].notna().any()]
        if validation is not None and named:
            found[str(slot)] = (of_slot[named], validation)
    return found


def _against_validation(slot: str, name: str, live: pd.Series, validation: pd.Series) -> dict[str, object]:
    band = breakdowns.validation_band(validation)
    return {
        "slot": slot,
        "score": name,
        "rounds": int(live.notna().sum()),
        "live_mean": float(live.mean()),
        "validation_mean": float(validation.mean()),
        "band_low": band[0],
        "band_high": band[1],
        "share_within": breakdowns.share_within(live, band),
    }


def _receipts(desk: SubmissionDesk) -> pd.DataFrame:
    """Submissions, newest first."""
    rows = []
    for receipt in desk.receipts():
        row = asdict(receipt)
        why = "; ".join(map(str, receipt.refused))
        rows.append(
            {
                "round": row["round_number"],
                "slot": row["slot"],
                "model": f"{receipt.method} {era_label(receipt.vintage)}",
                "rung": receipt.rung,
                "why": why or "no rung above was refused",
                "step": receipt.step.value + (f" ({receipt.abandoned_over})" if receipt.abandoned_over else ""),
                "status": (receipt.status or "") + (" late" if receipt.is_late else ""),
                "rows": receipt.rows,
                "submission_id": receipt.submission_id or "",
                "sha256": receipt.sha256[:12],
            }
        )
    return pd.DataFrame(rows[::-1])


def _submissions(receipts: pd.DataFrame) -> Section:
    shown = [Shown(receipts.head(_ROWS_OF_RECEIPTS))] if len(receipts) else []
    note = (
        "rung: step of the ladder that was submitted; why: the rungs above it and the reasons for which they were refused. "
        "Proven: read back and compared byte for byte."
    )
    return Section("Submissions", shown, note, "No round was submitted to yet.")


def _drift(shares: Mapping[str, float], limit: float) -> Section:
    shown = [Shown(figures.drift(shares, limit))] if shares else []
    note = (
        "Share of features whose live values differ in distribution from the eight previous eras by more than 0.25 in total "
        "variation."
    )
    return Section("Drift", shown, note, "No live round is stored.")


def _eras_of(sampled: SampledEras) -> str:
    first, last = era_label(sampled.eras[0]), era_label(sampled.eras[-1])
    return f"{len(sampled.eras)} scored eras from {first} to {last}"
