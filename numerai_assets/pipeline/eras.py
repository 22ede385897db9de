"""The era store filled from a release: each era once, a live round one more era through the same code."""

from collections.abc import Callable, Sequence

from numerai_assets.eras import era_label, live_key
from numerai_assets.errors import ReleaseError
from numerai_assets.features.cleaning.fill import Strategy, clean, leaves_as_released
from numerai_assets.pipeline.workspace import Workspace
from numerai_assets.progress import Progress
from numerai_assets.store.era_records import EraRecord
from numerai_assets.store.era_store import EraStore
from numerai_assets.tournament.release import LIVE, LIVE_ERA, TRAIN, VALIDATION, alias_of, check_calendar
from numerai_assets.tournament.released_eras import read_eras


def store_live_round(workspace: Workspace, number: int) -> EraRecord:
    """Stores and cleans the fetched live rows of a round; its era is the newest one at the date of its data."""
    release, store, key = workspace.round_release(number), workspace.store, live_key(number)
    era = workspace.round(number).era
    names = store.feature_names
    (live,) = read_eras(
        release.path(LIVE), features=names, targets=store.target_names, wanted=lambda label: label == LIVE_ERA
    )
    if live.targets.notna().any().any():
        raise ReleaseError(f"{LIVE} of round {number}: holds targets; live targets are all NaN")
    live.store_in(workspace.store, names, key=key, era=era, as_of=era)
    return clean_era(workspace.store, workspace.settings.cleaning.missing, key)


def clean_era(store: EraStore, strategy: Strategy, key: str) -> EraRecord:
    """Cleans one stored era unless that was done with the same strategy before."""
    record = store.record(key)
    if record.cleaned_by == strategy:
        return record
    if leaves_as_released(strategy, record.missing_cells):
        return store.clean_as_released(key, strategy=strategy)
    panel = store.panel([key], stage="released")
    return store.write_cleaned(key, clean(panel.features, strategy), strategy=strategy)


def store_eras(
    workspace: Workspace, wanted: Sequence[int], log: Callable[[str], None], progress: Progress
) -> tuple[list[EraRecord], str | None]:
    """Stores the wanted eras from the files of the release on disk; their records, and the target that `target` is an alias of.

    The alias is None where no written era has both resolved. Raises ReleaseError for an era that the release lacks.
    """
    release = workspace.release
    validation = release.manifest(VALIDATION)
    if validation is None:
        raise ReleaseError(f"{VALIDATION} is not there; fetch the release first (`numerai weekly`)")
    # The first release decides which features the store has. A check reports what later releases add or lack.
    held = workspace.store.feature_names if workspace.store.eras() else tuple(release.features()["all"])
    targets = list(workspace.store.target_names) if workspace.store.eras() else release.targets()
    # The check on the release says this too, but only in the run that fetched it.
    if (current := workspace.tournament.current_round()) is not None:
        check_calendar(validation.newest_era, current.era, current.number)
    labels = {era_label(era) for era in wanted}
    beyond = sorted(label for label in labels if int(label) > validation.newest_era)
    if beyond:
        raise ReleaseError(f"era {beyond[0]}: not in the release, which ends with {era_label(validation.newest_era)}")
    written: list[EraRecord] = []
    alias: str | None = None
    for file in (TRAIN, VALIDATION):
        manifest = release.manifest(file)
        if manifest is None:
            continue
        digest, newest = manifest.sha256, validation.newest_era
        labels_here = [label for label in manifest.eras if label in labels]
        # What a killed run has read from this very file stays; the next one goes on behind it.
        done = {label for label in labels_here if _is_stored(workspace.store, label, digest, newest)}
        written += [workspace.store.record(label) for label in sorted(done)]
        left = [label for label in labels_here if label not in done]
        if not left:
            continue
        found = read_eras(release.path(file), features=held, targets=targets, wanted=set(left).__contains__)
        for count, item in enumerate(found):
            progress(f"eras from {file}", count, len(left))
            alias = alias_of(item.targets) or alias
            written.append(item.store_in(workspace.store, held, as_of=newest, read_from=digest))
        progress(f"eras from {file}", len(left), len(left))
    absent = labels - {record.key for record in written}
    due = [era_label(era) for era in workspace.store.to_read(map(int, absent), validation.newest_era)]
    if due and due[0] in validation.released_eras:
        raise ReleaseError(f"era {due[0]}: not in the part of {VALIDATION} on disk; `numerai weekly` fetches the whole")
    if due:
        raise ReleaseError(f"era {due[0]}: not in the release, which ends with {validation.newest_era:04d}")
    if absent:
        log(f"{len(absent)} eras stay as they are stored: they are not in the part of {VALIDATION} on disk")
    return written, alias


def _is_stored(store: EraStore, key: str, digest: str, newest_era: int) -> bool:
    if not store.holds(key):
        return False
    record = store.record(key)
    return (record.read_from, record.targets_as_of) == (digest, newest_era)
