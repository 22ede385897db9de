"""The report of a workspace, on one HTML page: how good the methods are, what was submitted and why, what came of it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

import pandas as pd

from numerai_assets.eras import era_label, friday_of
from numerai_assets.evaluation import breakdowns, figures, plots
from numerai_assets.evaluation.diagnostics import validation_table
from numerai_assets.evaluation.importance import by_group, over_time
from numerai_assets.evaluation.report import Section, Shown, html_report
from numerai_assets.pipeline.diagnostics import read_scores
from numerai_assets.pipeline.equal_blend import judged_names
from numerai_assets.pipeline.explanations import explanations_are_stale, read_by_era, read_importances
from numerai_assets.pipeline.live_scores import read_live_scores
from numerai_assets.pipeline.sampled_eras import SampledEras, drifted_shares, sampled_eras
from numerai_assets.pipeline.workspace import Workspace
from numerai_assets.store.atomic import replacing_file
from numerai_assets.store.holdout_ledger import HoldoutLedger
from numerai_assets.tournament.scores import latest_scores

Scores = Mapping[str, pd.DataFrame]

_NO_SCORES = "Train a vintage and let its diagnostics run."
_ERA_BINS = 12
_RECENT_ERAS = 52
_ROWS_OF_RECEIPTS = 40
_ROWS_OF_CHANGES = 30
_FEATURES = 20


@dataclass(frozen=True)
class Judged:
    """What is known of the predictions, by method, their equal blend among them: drawn as a page and as pictures.

    scores: per era, of those that have any on the payout target. drifted: share of features by round.
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
    """Writes the page to `path`, whole or not at all. judged: where it was read already."""
    judged = judged or Judged.of(workspace)
    scores, sampled = judged.scores, judged.sampled
    live, receipts = read_live_scores(workspace), _receipts(workspace)
    sections = [
        _changes(scores, live, receipts),
        _validation(scores, workspace.holdout_ledger),
        _regimes(scores),
        _methods_beside_each_other(scores, sampled),
        _exposures(sampled),
        what_matters(workspace),
        _tracking(workspace, scores, live),
        _submissions(receipts),
        _drift(judged.drifted, workspace.settings.gate.greatest_drift),
    ]
    settings = workspace.settings
    heading = f"{settings.tournament}, data {settings.data_version}, {len(workspace.store.eras())} eras in the store"
    with replacing_file(path) as aside:
        aside.write_text(html_report(heading, sections), encoding="utf-8")


def inline_plots(workspace: Workspace, judged: Judged) -> dict[str, tuple[bytes, str]]:
    """Figures of the page as PNG bytes with what they show, by name, for where a page cannot be opened."""
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
        shown.append(Shown(last[["round", "slot", "model", "rung", "step"]], "The newest round"))
    if len(newest):
        shown.append(Shown(newest, "The newest resolved era"))
    if len(moved):
        shown.append(Shown(moved, "Live scores that moved"))
    note = "The week ends on the newest day with live scores. place_in_history: share of the method's eras that scored no more."
    return Section("Since last week", shown, note if shown else "", "Submit to a round and wait for its first scores.")


def _validation(scores: Scores, ledger: HoldoutLedger) -> Section:
    shown = []
    if scores:
        baseline = next(iter(scores))
        paired = breakdowns.paired_with(baseline, scores) if len(scores) > 1 else pd.DataFrame()
        shown = [
            Shown(breakdowns.compared_methods(scores), "Methods"),
            *([Shown(paired, f"Against {baseline}, era by era")] if len(paired) else []),
            Shown(figures.cumulative(scores), "Cumulative scores"),
            Shown(figures.drawdowns(scores), "Drawdowns"),
            *(
                Shown(validation_table(frame, trials=ledger.trials(frame.index) or None), f"All scores of {method}")
                for method, frame in scores.items()
            ),
        ]
    note = (
        "Each era is scored with the newest vintage older than it. Standard errors (se) are Newey-West over the eras that "
        "share returns; low and high hold the true mean nine times of ten. deflated_sharpe: probability of a true mean above "
        "0, given how many variants were judged on these eras. equal_blend: the mean rank of all methods. Bands hold 90 % of "
        "what a method of the same mean and spread would do."
    )
    return Section("Validation", shown, note, _NO_SCORES)


def _regimes(scores: Scores) -> Section:
    shown = []
    for method, frame in scores.items():
        since = friday_of(int(frame.index[-_RECENT_ERAS])) if len(frame) > 2 * _RECENT_ERAS else None
        shown.append(Shown(breakdowns.regimes(frame, since=since), method))
    note = (
        "By year, by the volatility of the method's own CORR over the 26 eras before, and before and since the last "
        "52 eras. positive: share of eras with a positive CORR."
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
    return Section("Methods beside each other", shown, note, _NO_SCORES)


def _exposures(sampled: SampledEras | None) -> Section:
    shown, note = [], ""
    if sampled is not None:
        shown = [
            Shown(figures.heat_map(breakdowns.era_bins(table, _ERA_BINS).T, is_signed=False), method)
            for method, table in sampled.exposures.items()
        ]
        note = f"Root mean square correlation of predictions with the features of a group, on {_eras_of(sampled)}."
    return Section("Exposures", shown, note, _NO_SCORES)


def what_matters(workspace: Workspace) -> Section:
    """Importances of every method that was explained; those of a model that is no more say so."""
    shown = []
    for method in workspace.settings.active_methods:
        table, by_era = read_importances(workspace, method), read_by_era(workspace, method)
        # By era is removed to have all found again; the table that is left is of nothing known then.
        if len(table) and len(by_era):
            best = table.head(_FEATURES)
            of = f"{method} {era_label(by_era['vintage'].max())}"
            if explanations_are_stale(workspace, method):
                of += ", from before the last fit"
            shown += [
                Shown(figures.importance(best), f"Features of {of}"),
                Shown(best.drop(columns="permuted_eras"), f"The same in numbers, {_FEATURES} of {len(table)}"),
                Shown(by_group(table), f"Groups of {method}"),
                Shown(
                    figures.heat_map(over_time(by_era, best["feature"].tolist()), is_signed=False, digits=3),
                    f"Share of each feature by era, {method}",
                ),
            ]
    note = (
        "gain: share of what the splits on a feature saved in the fit of the newest vintage. permutation: CORR on ender_60 "
        "lost in eras out of sample when the feature is shuffled among the rows, with its Newey-West standard error. shap: "
        "mean size of the feature's part of the raw score. Features that say the same share what they matter."
    )
    return Section("What matters", shown, note, "Train a vintage and let its explanations run.")


def _tracking(workspace: Workspace, scores: Scores, live: pd.DataFrame) -> Section:
    tracked, shown = live_of_slots(workspace, scores, live), []
    rows = [
        _against_validation(slot, str(name), of_slot[name], validation[name])
        for slot, (of_slot, validation) in tracked.items()
        for name in of_slot
    ]
    if rows:
        shown.append(Shown(pd.DataFrame(rows), "Live scores inside the band of validation"))
    shown += [Shown(figures.tracking(*pair), slot) for slot, pair in tracked.items()]
    if len(live):
        newest = latest_scores(live).reset_index()
        shown.append(Shown(newest.iloc[::-1].head(_ROWS_OF_RECEIPTS), "Newest value of each score"))
    note = (
        "Grey holds nine of ten eras of validation, the dotted line is their mean. Scores of rounds that have not resolved "
        "still move."
    )
    return Section("Live against validation", shown, note, "Live scores come some days after a submission.")


def live_of_slots(
    workspace: Workspace, scores: Scores, live: pd.DataFrame
) -> dict[str, tuple[pd.DataFrame, pd.DataFrame]]:
    """For each slot with live scores its CORR and MMC by round, and the scores of its method in validation."""
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


def _receipts(workspace: Workspace) -> pd.DataFrame:
    """Submissions, newest first."""
    rows = []
    for receipt in workspace.desk.receipts():
        row = asdict(receipt)
        why = "; ".join(map(str, receipt.refused))
        rows.append(
            {
                "round": row["round_number"],
                "slot": row["slot"],
                "model": f"{receipt.method} {era_label(receipt.vintage)}",
                "rung": receipt.rung,
                "why": why or "nothing above it was refused",
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
        "rung: how far down the ladder; why: what stood above it and was refused. Proven means read back byte for byte."
    )
    return Section("What was submitted, and why", shown, note, "No round was submitted to.")


def _drift(shares: Mapping[str, float], limit: float) -> Section:
    shown = [Shown(figures.drift(shares, limit))] if shares else []
    note = (
        "Share of features whose live values are distributed otherwise than in the eight eras before: more than a quarter "
        "away, in total variation."
    )
    return Section("Drift", shown, note, "No live round is in the store.")


def _eras_of(sampled: SampledEras) -> str:
    first, last = era_label(sampled.eras[0]), era_label(sampled.eras[-1])
    return f"{len(sampled.eras)} scored eras from {first} to {last}"
