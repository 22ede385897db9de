"""`numerai doctor`: checks of everything that can be checked before a run. Changes nothing."""

import datetime as dt
import os
import shutil
from dataclasses import dataclass

import psutil

from numerai_assets.cli.terminal import describe_round
from numerai_assets.errors import NumeraiAssetsError
from numerai_assets.execution import LOCAL
from numerai_assets.methods.registry import create_method
from numerai_assets.pipeline.alerts import URLS_VARIABLE
from numerai_assets.pipeline.plan import next_steps
from numerai_assets.pipeline.workspace import Workspace
from numerai_assets.tournament.increment import why_whole
from numerai_assets.tournament.release import VALIDATION
from numerai_assets.trees.cluster import Patience, threads_of

# A release of v5.3 takes 9 GB and its store 25 GB; a world of the sandbox stays below 1 GB.
_NEEDED_BYTES = {"numerai": 60e9, "sandbox": 2e9}
_NEEDED_MEMORY = {"numerai": 16e9, "sandbox": 2e9}
_TOLERATED_SKEW = dt.timedelta(minutes=5)


@dataclass(frozen=True)
class Finding:
    """Result of one check; `is_well` is False when a run would fail because of it."""

    subject: str
    is_well: bool
    text: str


def examine(workspace: Workspace) -> list[Finding]:
    """All findings, in the order in which a run depends on them."""
    settings = workspace.settings
    findings = [
        Finding(
            "tournament", True, f"{settings.tournament} at {workspace.tournament.url}, files in {workspace.folder}"
        ),
        _keys(workspace),
        _alerts(),
        *_methods(workspace),
        _release(workspace),
        _disk(workspace),
        _memory(workspace),
    ]
    try:
        now = workspace.tournament.now()
    except NumeraiAssetsError as error:
        return [*findings, Finding("server", False, str(error))]
    return [*findings, _clock(workspace, now), *_slots(workspace), *_round(workspace)]


def _keys(workspace: Workspace) -> Finding:
    if workspace.tournament.is_sandbox:
        return Finding("API keys", True, "the sandbox's own; your keys are not sent to it")
    absent = [name for name in ("NUMERAI_PUBLIC_ID", "NUMERAI_SECRET_KEY") if not os.environ.get(name)]
    return Finding("API keys", not absent, f"{' and '.join(absent)} not set" if absent else "set in the environment")


def _alerts() -> Finding:
    # Optional: a run does not fail without it.
    count = len(os.environ.get(URLS_VARIABLE, "").split())
    return Finding(
        "alerts",
        True,
        f"sent to {count} addresses" if count else f"stored in a file only; set {URLS_VARIABLE}",
    )


def _methods(workspace: Workspace) -> list[Finding]:
    findings = []
    for name in workspace.settings.active_methods:
        settings = workspace.settings.methods[name]
        try:
            create_method(name, settings)
            where = _trained_where(settings.compute)
        except NumeraiAssetsError as error:
            findings.append(Finding(f"method {name}", False, str(error)))
        else:
            vintages = workspace.vintages.vintages(name)
            trained = f"{len(vintages)} vintages, newest {vintages[-1]:04d}" if vintages else "no vintage yet"
            findings.append(
                Finding(f"method {name}", True, f"{settings.profile} profile on {settings.target}{where}; {trained}")
            )
    return findings


def _trained_where(compute: str) -> str:
    if compute == LOCAL:
        return ""
    threads = threads_of(compute, patience=Patience(connect=5))
    return f", trained on {compute}, {len(threads)} workers with {sum(threads)} threads"


def _release(workspace: Workspace) -> Finding:
    manifest = workspace.release.manifest(VALIDATION)
    whole = "increments are off" if not workspace.settings.release.increments else why_whole(manifest, workspace.store)
    will = (
        f"the next release is fetched completely: {whole}"
        if whole
        else "of the next, only changed row groups are fetched"
    )
    if manifest is None:
        return Finding("release", True, will)
    stored = f"{VALIDATION} of era {manifest.eras[-1]}, {manifest.size / 1e6:,.1f} MB"
    if manifest.part is not None:
        part = manifest.part
        stored = (
            f"{len(manifest.eras)} of the {len(part.eras)} eras of {stored}: "
            f"{part.fetched / 1e6:,.1f} of {part.size / 1e6:,.1f} MB were fetched"
        )
    return Finding("release", True, f"{stored}; {will}")


def _disk(workspace: Workspace) -> Finding:
    folder = workspace.folder
    while not folder.exists():
        folder = folder.parent if folder.parent != folder else folder.absolute().parent
    free, needed = shutil.disk_usage(folder).free, _NEEDED_BYTES[workspace.settings.tournament]
    enough = free > needed or workspace.store.folder.exists()
    return Finding("disk", enough, f"{free / 1e9:.0f} GB free, a first run needs about {needed / 1e9:.0f} GB")


def _memory(workspace: Workspace) -> Finding:
    available, needed = psutil.virtual_memory().available, _NEEDED_MEMORY[workspace.settings.tournament]
    return Finding(
        "memory", available > needed, f"{available / 1e9:.1f} GB available, about {needed / 1e9:.0f} GB recommended"
    )


def _clock(workspace: Workspace, now: dt.datetime) -> Finding:
    if workspace.tournament.is_sandbox:
        return Finding("clock", True, f"sandbox time {now:%a %Y-%m-%d %H:%M} UTC")
    skew = abs(dt.datetime.now(dt.UTC) - now)
    text = f"server {now:%a %Y-%m-%d %H:%M} UTC, this machine off by {skew.total_seconds():.0f} s; runs use the server's clock"
    return Finding("clock", skew < _TOLERATED_SKEW, text)


def _slots(workspace: Workspace) -> list[Finding]:
    slots = workspace.settings.slots
    if not slots:
        return [Finding("slots", False, "no [slots] in the settings: a run would submit nothing")]
    try:
        models = workspace.tournament.models()
    except NumeraiAssetsError as error:
        return [Finding("account", False, str(error))]
    methods = list(slots.values())
    twins = [slot for slot, method in slots.items() if methods.index(method) != list(slots).index(slot)]
    duplicates = [
        Finding(f"slot {slot}", False, f"another slot submits {slots[slot]}; duplicates are refused") for slot in twins
    ]
    return duplicates + [
        Finding(
            f"slot {slot}",
            slot in models,
            f"submits {method}"
            if slot in models
            else f"not on this account; it has {', '.join(sorted(models)) or 'none'}",
        )
        for slot, method in slots.items()
    ]


def _round(workspace: Workspace) -> list[Finding]:
    try:
        current, upcoming = workspace.tournament.current_round(), workspace.tournament.next_round()
        steps = next_steps(workspace, current)
    except NumeraiAssetsError as error:
        return [Finding("round", False, str(error))]
    findings = [Finding("round", True, describe_round(current) if current else "none is open")]
    if upcoming is not None:
        findings.append(Finding("next round", True, f"{upcoming.number} opens {upcoming.opens:%a %Y-%m-%d %H:%M} UTC"))
    stale = "; ".join(f"{step.job} {' '.join(step.partitions)} ({step.why})" for step in steps)
    return [
        *findings,
        Finding("would run", True, f"{stale}, then everything downstream" if stale else "nothing is stale"),
    ]
