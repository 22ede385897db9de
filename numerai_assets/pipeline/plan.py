"""The plan: which steps to run next, given the files on disk and the open round."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from numerai_assets.eras import era_label
from numerai_assets.features.registry import learned, per_era
from numerai_assets.pipeline.diagnostics import judged_models, read_scores
from numerai_assets.pipeline.explanations import explanations_are_stale
from numerai_assets.pipeline.ladder import Rung, candidates, is_fresh
from numerai_assets.pipeline.live_scores import scores_as_of
from numerai_assets.pipeline.predictions import judged_eras
from numerai_assets.pipeline.spec import VintageSpec
from numerai_assets.pipeline.vintage_grid import vintages_due
from numerai_assets.pipeline.vintages import base_of, is_current, is_refused
from numerai_assets.pipeline.workspace import Workspace
from numerai_assets.store.era_store import EraStore
from numerai_assets.store.vintage_store import VintageStore
from numerai_assets.tournament.client import Round
from numerai_assets.tournament.increment import not_on_disk
from numerai_assets.tournament.release import TRAIN, VALIDATION, WEEKLY_FILES, YARDSTICK_FILES, Release


class Lacking(NamedTuple):
    """Methods to fit for a vintage, and the learned blocks that they wait for."""

    blocks: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.methods)


@dataclass(frozen=True)
class Step:
    """One run: a job and its partitions (none for an unpartitioned job, a first and last era for a range).

    why: the reason, for people. lacking: what to fit of a vintage; methods and blocks that are stored as the settings ask
    stay as they are. cause: the reason as values; a step that ran and is due again for the same cause did not help.
    """

    job: str
    partitions: tuple[str, ...]
    why: str = field(compare=False)
    lacking: Lacking | None = None
    cause: tuple[Hashable, ...] = ()

    @property
    def key(self) -> str:
        """Job and partitions, without the reason: "eras/0600/0620"."""
        return "/".join((self.job, *self.partitions))


def next_steps(workspace: Workspace, current: Round | None, *, is_hindered: bool = False) -> list[Step]:
    """Runs that are due, in order; later ones may appear only once earlier ones have run. Empty when nothing is stale.

    Between the opening of a weekend round and its submission stands only what the submission needs: the new week's
    data and the vintage that is due. When that is hindered (a run of it failed, or the round is about to close), and
    for a weekday round, open for one hour, whatever can predict submits first; a fresh vintage that comes while the
    round is still open submits once more. What validation needs comes after, so that no failure there costs a round.
    """
    data, submission = _data_steps(workspace, current), _round_steps(workspace, current)
    submits_first = (
        bool(submission)
        and current is not None
        and (is_hindered or not current.is_weekend)
        and _can_serve(workspace, current)
    )
    if data:
        return submission + data if submits_first else data
    vintages = vintage_steps(workspace)
    newest = _block_steps(workspace) + (vintages[:1] if _newest_is_missing(workspace) else [])
    # All of it: a step that keeps failing must not hold up the others.
    rest = (
        [step for step in vintages if step not in newest]
        + _validation_steps(workspace)
        + _explanation_steps(workspace)
        + _performance_steps(workspace, current)
    )
    return (submission + newest if submits_first else newest + submission) + rest


def _data_steps(workspace: Workspace, current: Round | None) -> list[Step]:
    release = workspace.release
    manifests = [release.manifest(name) for name in WEEKLY_FILES]
    validation = release.manifest(VALIDATION)
    if validation is None or any(m is None for m in manifests):
        return [Step("release", (), "the release was never fetched whole", cause=("absent",))]
    if len({m.round_number for m in manifests if m is not None}) > 1:
        return [Step("release", (), "the last release was fetched only in part", cause=("incomplete",))]
    if (
        current is not None
        and validation.newest_era < current.era
        # Asked for once a round: the vendor may be late, and the round is then served with what there is.
        and validation.round_number != current.number
    ):
        return [Step("release", (), f"era {era_label(current.era)} is out", cause=("new era", current.era))]
    absent = not_on_disk(validation, workspace.store)
    if absent:
        why = f"era {era_label(absent[0])} must be stored, and the part of {VALIDATION} on disk lacks it"
        return [Step("release", (), why, cause=("era not on disk", absent[0]))]
    train = release.manifest(TRAIN)
    assert train is not None
    stale = _stale_eras(
        workspace.store,
        workspace.settings.cleaning.missing,
        [int(e) for e in (*train.eras, *validation.released_eras)],
        validation.newest_era,
    )
    return [
        Step(
            "eras",
            (era_label(first), era_label(last)),
            f"{last - first + 1} eras are new or have newly resolved targets",
        )
        for first, last in contiguous(stale)
    ]


def _stale_eras(store: EraStore, strategy: str, released: Sequence[int], newest_era: int) -> list[int]:
    records = store.records()
    stale = []
    for era in released:
        record = records.get(era_label(era))
        if record is None or record.awaits_targets(newest_era) or record.cleaned_by != strategy:
            stale.append(era)
    return stale


def _block_steps(workspace: Workspace) -> list[Step]:
    """Eras without the columns of an active feature block, or with columns of other settings."""
    blocks = per_era(workspace.settings.active_blocks)
    if not blocks:
        return []
    columns = workspace.block_columns()
    lacking = [
        era for era in workspace.store.eras() if not all(columns.is_current(name, era_label(era)) for name in blocks)
    ]
    return [
        Step("blocks", (era_label(first), era_label(last)), f"{last - first + 1} eras lack columns of feature blocks")
        for first, last in contiguous(lacking)
    ]


def vintage_steps(workspace: Workspace) -> list[Step]:
    """Vintages that are due and not stored, newest first: that one goes live, and each ends where the next begins.

    Only the vintage that the newest warm-starts from comes before it.
    """
    lacking = {vintage: found for vintage in _due(workspace) if (found := _lacking(workspace, vintage))}
    steps = {
        vintage: Step("vintage", (era_label(vintage),), _why(workspace.vintages, vintage, found), found)
        for vintage, found in lacking.items()
    }
    newest = max(steps, default=0)
    bases = {base_of(workspace, method, newest) for method in lacking[newest].methods} if steps else set()
    return [steps[vintage] for vintage in sorted(steps, key=lambda v: (v in bases, v), reverse=True)]


def _why(vintages: VintageStore, vintage: int, lacking: Lacking) -> str:
    stored = all(vintages.holds(method, vintage) for method in lacking.methods)
    return f"vintage {era_label(vintage)} {'was trained with other settings' if stored else 'is due'}"


def _newest_is_missing(workspace: Workspace) -> bool:
    due = _due(workspace)
    return bool(due) and bool(_lacking(workspace, due[-1]))


def _lacking(workspace: Workspace, vintage: int) -> Lacking:
    """Methods that are not stored as the settings ask, without those known not to be fittable, and their blocks."""
    blocks: dict[str, None] = {}
    methods = []
    for method in workspace.settings.active_methods:
        spec = workspace.specs.method(method)
        if is_current(workspace.vintages, method, vintage, spec):
            continue
        # A warm start keeps the learned blocks of the vintage that it starts from.
        fresh = base_of(workspace, method, vintage) is None
        awaited = [name for name in learned(spec.blocks) if not _has_block(workspace, name, vintage)] if fresh else []
        if any(_is_refused(workspace, name, vintage) for name in awaited):
            continue
        if not is_refused(workspace.vintages, workspace.store, method, vintage, spec):
            methods.append(method)
            blocks |= dict.fromkeys(awaited)
    return Lacking(tuple(name for name in workspace.settings.active_blocks if name in blocks), tuple(methods))


def _has_block(workspace: Workspace, name: str, vintage: int) -> bool:
    spec = workspace.specs.block(name)
    return isinstance(spec, VintageSpec) and is_current(workspace.fitted_blocks, name, vintage, spec)


def _is_refused(workspace: Workspace, name: str, vintage: int) -> bool:
    spec = workspace.specs.block(name)
    return isinstance(spec, VintageSpec) and is_refused(workspace.fitted_blocks, workspace.store, name, vintage, spec)


def _due(workspace: Workspace) -> list[int]:
    return vintages_due(
        workspace.settings.retrain,
        last_train_era=workspace.last_train_era(),
        newest_era=workspace.store.newest_era(),
    )


def _validation_steps(workspace: Workspace) -> list[Step]:
    methods = workspace.settings.active_methods
    held = sorted({v for m in methods for v in workspace.vintages.vintages(m)})
    unpredicted = [v for v in held if any(_unpredicted(workspace, m, v) for m in methods)]
    if unpredicted:
        return [
            Step("out_of_sample", (era_label(v),), f"vintage {era_label(v)} has eras to predict") for v in unpredicted
        ]
    if not any(_diagnostics_are_stale(workspace, m) for m in methods):
        return []
    if _yardsticks_are_stale(workspace.release):
        return [Step("yardsticks", (), "validation is compared with those of the newest release")]
    return [Step("diagnostics", (), "targets resolved since the last diagnostics")]


def _explanation_steps(workspace: Workspace) -> list[Step]:
    stale = [method for method in workspace.settings.active_methods if explanations_are_stale(workspace, method)]
    return [Step("explanations", (), f"{', '.join(stale)} has a new vintage", cause=tuple(stale))] if stale else []


def _yardsticks_are_stale(release: Release) -> bool:
    """True while the references of validation are older than the release that it validates."""
    validation = release.manifest(VALIDATION)
    manifests = [release.manifest(name) for name in YARDSTICK_FILES]
    assert validation is not None  # there are stored eras, so the release is there
    return any(m is None or m.round_number < validation.round_number for m in manifests)


def _performance_steps(workspace: Workspace, current: Round | None) -> list[Step]:
    submitted = [r.round_number for r in workspace.desk.receipts() if r.submission_id is not None]
    if current is None or not submitted or scores_as_of(workspace) == current.number:
        return []
    why = f"scores of {len(submitted)} submissions as of round {current.number}"
    return [Step("performance", (), why, cause=(len(submitted), current.number))]


def _unpredicted(workspace: Workspace, method: str, vintage: int) -> bool:
    if vintage not in workspace.vintages.vintages(method):
        return False
    return not set(judged_eras(workspace, method, vintage)) <= set(workspace.predictions.eras(method, vintage))


def _diagnostics_are_stale(workspace: Workspace, method: str) -> bool:
    """True when the last diagnostics scored other predictions than the current ones, or lacked a target that is known now."""
    scores = read_scores(workspace, method)
    resolved = {int(k): r.resolved for k, r in workspace.store.records().items() if k.isdigit()}
    for era, model in judged_models(workspace.predictions, workspace.vintages, [method]).items():
        if resolved.get(era) and (era not in scores.index or scores.loc[era, "model"] != model):
            return True
        if any(bool(scores.loc[era].isna()[f"corr{h}"]) for h in resolved.get(era, ())):
            return True
    return False


def _round_steps(workspace: Workspace, current: Round | None) -> list[Step]:
    if current is None:
        return []
    desk, slots = workspace.desk, workspace.settings.slots
    unproven = [slot for slot in slots if not desk.is_proven(current.number, slot)]
    if unproven:
        why = f"round {current.number} is open, {', '.join(unproven)} not submitted"
        return [Step("round", (str(current.number),), why, cause=("not submitted", *unproven))]
    improvable = [slot for slot in slots if _has_better(workspace, slot, current)]
    if improvable and not _newest_is_missing(workspace):
        why = f"round {current.number} is open, {', '.join(improvable)} can be submitted with a fresh vintage"
        return [Step("round", (str(current.number),), why, cause=("fresh vintage", *improvable))]
    return []


def _has_better(workspace: Workspace, slot: str, current: Round) -> bool:
    """True when a vintage is stored that is newer than the submitted one and is the one the policy asks for."""
    receipt, method = workspace.desk.receipt(current.number, slot), workspace.settings.slots[slot]
    held = workspace.vintages.before(method, current.era)
    if receipt is None or not held or not is_fresh(workspace, method, held[0], current.era):
        return False
    was_best = receipt.method == method and receipt.vintage == held[0]
    # A candidate that the gate refused once is not tried again.
    refused = any((method, held[0]) in refusal.models for refusal in receipt.refused)
    return not was_best and not refused and receipt.rung != Rung.FRESH


def _can_serve(workspace: Workspace, current: Round) -> bool:
    """True when some slot can submit to the round, on any rung. A slot that cannot must not hold up the others."""
    return bool(workspace.store.eras()) and any(
        next(candidates(workspace, slot, current.number), None) is not None for slot in workspace.settings.slots
    )


def contiguous(eras: Sequence[int]) -> list[tuple[int, int]]:
    """Runs of consecutive eras as (first, last), ascending."""
    runs: list[tuple[int, int]] = []
    for era in sorted(eras):
        if runs and era == runs[-1][1] + 1:
            runs[-1] = (runs[-1][0], era)
        else:
            runs.append((era, era))
    return runs
