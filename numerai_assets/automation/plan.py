"""What to run next, from what is on disk and what the tournament says."""

from collections.abc import Sequence
from dataclasses import dataclass

from numerai_assets.assets.diagnostics import read_scores
from numerai_assets.assets.models import made_with
from numerai_assets.assets.performance import scores_as_of
from numerai_assets.assets.predictions import judged_eras
from numerai_assets.assets.workspace import Workspace
from numerai_assets.automation.retrain import vintages_due
from numerai_assets.eras import era_label
from numerai_assets.tournament.client import Round
from numerai_assets.tournament.release import TRAIN, VALIDATION, WEEKLY_FILES


@dataclass(frozen=True)
class Step:
    """One run: a job, the partitions it is for (none for an unpartitioned job, a first and last era for a range), why."""

    job: str
    partitions: tuple[str, ...]
    why: str


def next_steps(workspace: Workspace, current: Round | None) -> list[Step]:
    """Runs that are due, in order; later ones may appear only once earlier ones have run. Empty when nothing is stale.

    Between the opening of a weekend round and its submission stands only what the submission needs: the new week's
    data and the vintage that is due. A weekday round, open for one hour, goes before everything if there is any model.
    What validation needs comes after the submission, so that no failure there costs a round.
    """
    data, submission = _data_steps(workspace, current), _round_steps(workspace, current)
    if submission and current is not None and not current.is_weekend and _can_predict(workspace, current):
        return submission + data
    if data:
        return data
    vintages = _vintage_steps(workspace)
    if submission:
        return [*vintages[:1], *submission] if _newest_is_missing(workspace) else submission
    return vintages or _validation_steps(workspace) or _performance_steps(workspace, current)


def _data_steps(workspace: Workspace, current: Round | None) -> list[Step]:
    release = workspace.release
    manifests = [release.manifest(name) for name in WEEKLY_FILES]
    validation = release.manifest(VALIDATION)
    if validation is None or any(m is None for m in manifests):
        return [Step("release", (), "the release was never fetched whole")]
    if len({m.round_number for m in manifests if m is not None}) > 1:
        return [Step("release", (), "the last release was fetched only in part")]
    if (
        current is not None
        and validation.newest_era < current.era
        # Asked for once a round: the vendor may be late, and the round is then served with what there is.
        and validation.round_number != current.number
    ):
        return [Step("release", (), f"era {era_label(current.era)} is out")]
    train = release.manifest(TRAIN)
    assert train is not None
    stale = _stale_eras(workspace, [int(e) for e in (*train.eras, *validation.eras)], validation.newest_era)
    return [
        Step(
            "eras",
            (era_label(first), era_label(last)),
            f"{last - first + 1} eras are new or have newly resolved targets",
        )
        for first, last in contiguous(stale)
    ]


def _stale_eras(workspace: Workspace, released: Sequence[int], newest_era: int) -> list[int]:
    records, strategy = workspace.store.records(), workspace.settings.cleaning.missing
    stale = []
    for era in released:
        record = records.get(era_label(era))
        if record is None or record.awaits_targets(newest_era) or record.cleaned_by != strategy:
            stale.append(era)
    return stale


def _vintage_steps(workspace: Workspace) -> list[Step]:
    """Vintages that are due and not held, newest first: that one is to go live, and each knows where the next begins."""
    missing = [v for v in _due(workspace) if _is_missing(workspace, v)]
    return [Step("vintage", (era_label(v),), _why(workspace, v)) for v in sorted(missing, reverse=True)]


def _why(workspace: Workspace, vintage: int) -> str:
    held = all(vintage in workspace.vintages.vintages(m) for m in workspace.settings.active_methods)
    return f"vintage {era_label(vintage)} {'was made with other settings' if held else 'is due'}"


def _newest_is_missing(workspace: Workspace) -> bool:
    due = _due(workspace)
    return bool(due) and _is_missing(workspace, due[-1])


def _is_missing(workspace: Workspace, vintage: int) -> bool:
    methods = workspace.settings.active_methods
    return not all(workspace.vintages.holds(m, vintage, **made_with(workspace, m)) for m in methods)


def _due(workspace: Workspace) -> list[int]:
    train = workspace.release.manifest(TRAIN)
    assert train is not None  # there are no stale eras, so the release is there
    newest = workspace.store.newest_era()
    return vintages_due(workspace.settings.retrain, last_train_era=train.newest_era, newest_era=newest)


def _validation_steps(workspace: Workspace) -> list[Step]:
    methods = workspace.settings.active_methods
    held = sorted({v for m in methods for v in workspace.vintages.vintages(m)})
    unpredicted = [v for v in held if any(_unpredicted(workspace, m, v) for m in methods)]
    if unpredicted:
        return [
            Step("out_of_sample", (era_label(v),), f"vintage {era_label(v)} has eras to predict") for v in unpredicted
        ]
    if any(_diagnostics_are_stale(workspace, m) for m in methods):
        return [Step("diagnostics", (), "targets resolved since the last diagnostics")]
    return []


def _performance_steps(workspace: Workspace, current: Round | None) -> list[Step]:
    submitted = [r.round_number for r in workspace.desk.receipts() if r.submission_id is not None]
    if current is None or not submitted or scores_as_of(workspace) == current.number:
        return []
    return [Step("performance", (), f"scores of {len(submitted)} submissions as of round {current.number}")]


def _unpredicted(workspace: Workspace, method: str, vintage: int) -> bool:
    if vintage not in workspace.vintages.vintages(method):
        return False
    return not set(judged_eras(workspace, method, vintage)) <= set(workspace.predictions.eras(method, vintage))


def _diagnostics_are_stale(workspace: Workspace, method: str) -> bool:
    """True when some era predicted out of sample has a target that the last diagnostics could not score."""
    scores = read_scores(workspace, method)
    resolved = {int(k): r.resolved for k, r in workspace.store.records().items() if k.isdigit()}
    newest = {
        era: vintage
        for vintage in workspace.vintages.vintages(method)
        for era in workspace.predictions.eras(method, vintage)
    }
    for era, vintage in newest.items():
        if resolved.get(era) and (era not in scores.index or scores.loc[era, "vintage"] != vintage):
            return True
        if any(bool(scores.loc[era].isna()[f"corr{h}"]) for h in resolved.get(era, ())):
            return True
    return False


def _round_steps(workspace: Workspace, current: Round | None) -> list[Step]:
    if current is None:
        return []
    unproven = [s for s in workspace.settings.slots if not workspace.desk.is_proven(current.number, s)]
    if not unproven:
        return []
    return [
        Step("round", (str(current.number),), f"round {current.number} is open, {', '.join(unproven)} not submitted")
    ]


def _can_predict(workspace: Workspace, current: Round) -> bool:
    methods = workspace.settings.active_methods
    return all(workspace.vintages.newest_before(m, current.era) is not None for m in methods)


def contiguous(eras: Sequence[int]) -> list[tuple[int, int]]:
    """Runs of consecutive eras as (first, last), ascending."""
    runs: list[tuple[int, int]] = []
    for era in sorted(eras):
        if runs and era == runs[-1][1] + 1:
            runs[-1] = (runs[-1][0], era)
        else:
            runs.append((era, era))
    return runs
