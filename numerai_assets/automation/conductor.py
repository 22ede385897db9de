"""The plan carried out here and now, in one process: what the command line does instead of the daemon."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import dagster as dg
from dagster import DagsterEventType
from filelock import FileLock, Timeout

import numerai_assets.errors as errors
from numerai_assets.automation.jobs import run_of
from numerai_assets.errors import NumeraiAssetsError
from numerai_assets.pipeline.deadline import is_near, tell_blocked, watch
from numerai_assets.pipeline.plan import Step, next_steps
from numerai_assets.pipeline.workspace import Workspace
from numerai_assets.store.atomic import sweep
from numerai_assets.tournament.client import Round

_BY_COMMAND_LINE = {"numerai/by": "command line"}
_LEFTOVER_SECONDS = 2 * 24 * 3600.0
_OF_SUBMISSIONS = ("_Abandoned", "_NotYet")
# A submission is worth another try at once; all else waits for the next call.
_TRIES = {"round": 3}


class RunFailed(NumeraiAssetsError):
    """A run of the plan failed; the message is that of the step at fault."""


@dataclass(frozen=True)
class Done:
    """A step that was carried out and the Dagster run it was."""

    step: Step
    run_id: str


def conduct(
    definitions: dg.Definitions,
    workspace: Workspace,
    instance: dg.DagsterInstance,
    *,
    announce: Callable[[Step], None] = lambda step: None,
) -> tuple[Round | None, list[Done]]:
    """Runs step after step until nothing is stale; returns the open round, if any, and what was done.

    A step that fails does not stop the others: the round is submitted with the best that is at hand, then what can be
    done is done. Raises RunFailed at the end with the failing steps' own messages (also for one that ran without having
    helped), and at once when another process is at it in the same workspace.
    """
    workspace.folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(workspace.folder / ".conduct.lock", timeout=0):
            _end_dead_runs(instance)
            sweep(workspace.folder, _LEFTOVER_SECONDS)
            return _conduct(definitions, workspace, instance, announce)
    except RunFailed:
        raise
    except NumeraiAssetsError as error:
        tell_blocked(workspace, error)
        raise
    except Timeout:
        raise RunFailed(f"another `numerai` is at work in {workspace.folder}; wait for it to end") from None


def _conduct(
    definitions: dg.Definitions,
    workspace: Workspace,
    instance: dg.DagsterInstance,
    announce: Callable[[Step], None],
) -> tuple[Round | None, list[Done]]:
    done: list[Done] = []
    failed: dict[str, list[str]] = {}
    while True:
        # Asked anew before each step: a long one may outlast the round it began in.
        current, now = workspace.tournament.current_round(), workspace.tournament.now()
        if current is not None:
            workspace.remember_round(current)
        watch(workspace, current, now)
        due = next_steps(workspace, current, is_hindered=bool(failed) or is_near(workspace, current, now))
        steps = [step for step in due if len(failed.get(step.key, [])) < _TRIES.get(step.job, 1)]
        if not steps:
            break
        step = steps[0]
        if any(step == earlier.step for earlier in done):
            failed[step.key] = [f"{step.key} ran and is still due ({step.why})"] * _TRIES.get(step.job, 1)
            continue
        announce(step)
        try:
            done.append(Done(step, execute(definitions, instance, step, current)))
            failed.pop(step.key, None)
            if step.job == "vintage":
                # What could not be submitted for want of a model may be now.
                failed = {key: reasons for key, reasons in failed.items() if not key.startswith("round/")}
        except RunFailed as error:
            failed.setdefault(step.key, []).append(str(error))
            _tell(workspace, current, step, error)
            time.sleep(workspace.settings.network.retry_seconds)
    if failed:
        reasons = {key: tries[-1] for key, tries in failed.items()}
        raise RunFailed("; ".join(f"{key}: {why}" if len(reasons) > 1 else why for key, why in reasons.items()))
    return current, done


def _tell(workspace: Workspace, current: Round | None, step: Step, error: RunFailed) -> None:
    where = f"round {current.number}" if current is not None else "between rounds"
    workspace.alert(f"{where} {step.key} failed", f"{where}: {step.key} failed. {error}")


def _end_dead_runs(instance: dg.DagsterInstance) -> None:
    """Marks as failed what a killed command line left behind as going on: whoever holds the lock knows it is not."""
    for run in instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED], tags=_BY_COMMAND_LINE)):
        instance.report_run_failed(run, "the process that ran it has ended")


def execute(definitions: dg.Definitions, instance: dg.DagsterInstance, step: Step, current: Round | None = None) -> str:
    """Runs one step in this process and returns the run's id. Raises RunFailed with the failing step's message."""
    run = run_of(step, current)
    if run.adds_partition is not None:
        definition, key = run.adds_partition
        instance.add_dynamic_partitions(definition, [key])
    result = definitions.resolve_job_def(step.job).execute_in_process(
        instance=instance,
        partition_key=run.partition_key,
        tags=run.tags | _BY_COMMAND_LINE,
        asset_selection=run.assets,
        # The events are in Dagster; the terminal shows progress and, should it come to that, one line of error.
        run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        raise_on_error=False,
    )
    if not result.success:
        raise RunFailed(_reason(result))
    return result.run_id


def _reason(result: dg.ExecuteInProcessResult) -> str:
    failed = [
        f"{evaluation.check_name} of {evaluation.asset_key.to_user_string()} does not hold: "
        + ", ".join(f"{name}={value.value}" for name, value in evaluation.metadata.items())
        for evaluation in result.get_asset_check_evaluations()
        if not evaluation.passed and evaluation.severity == dg.AssetCheckSeverity.ERROR
    ]
    if failed:
        return "; ".join(failed)
    for event in result.filter_events(lambda e: e.event_type == DagsterEventType.STEP_FAILURE):
        error = event.step_failure_data.error
        while error is not None and error.cause is not None:
            error = error.cause
        if error is not None:
            return _one_line(error.cls_name or "", error.message.strip(), result.run_id)
    return f"run {result.run_id} failed; see it in Dagster's UI"


def _one_line(kind: str, message: str, run_id: str) -> str:
    text = message.removeprefix(f"numerai_assets.errors.{kind}: ").removeprefix(
        f"dagster._core.definitions.events.{kind}: "
    )
    text = text.split(": ", 1)[1] if text.startswith("numerai_assets.") and ": " in text else text
    if hasattr(errors, kind) or kind in {"Failure", "Interrupted", *_OF_SUBMISSIONS}:
        return text
    if kind in {"OSError", "PermissionError"}:
        return f"{text.splitlines()[0]}. Nothing that was whole is lost; mend it and run again"
    return (
        f"{kind}: {text.splitlines()[0]} (an error of this program; the traceback is in run {run_id} in Dagster's UI)"
    )
