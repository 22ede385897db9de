"""Runs the plan here and now, in one process: the command line does this in place of the daemon."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import dagster as dg
from filelock import FileLock, Timeout

from numerai_assets.automation.jobs import run_of
from numerai_assets.errors import NumeraiAssetsError
from numerai_assets.pipeline.deadline import is_near, tell_blocked, watch
from numerai_assets.pipeline.plan import Step, next_steps
from numerai_assets.pipeline.workspace import Workspace
from numerai_assets.store.atomic import sweep
from numerai_assets.tournament.client import Round

_BY_COMMAND_LINE = {"numerai/by": "command line"}
_LEFTOVER_SECONDS = 2 * 24 * 3600.0
# A submission is tried again at once; every other step waits for the next call.
_TRIES = {"round": 3}


class RunFailed(NumeraiAssetsError):
    """A run of the plan failed; the message is that of the step at fault."""


@dataclass(frozen=True)
class Done:
    """A step that ran, and its Dagster run."""

    step: Step
    run_id: str


def conduct(
    definitions: dg.Definitions,
    workspace: Workspace,
    instance: dg.DagsterInstance,
    *,
    announce: Callable[[Step], None] = lambda step: None,
) -> tuple[Round | None, list[Done]]:
    """Runs step after step until nothing is stale; returns the open round, if any, and the steps that ran.

    A step that fails does not stop the others: the round is submitted with the best model available, then the other steps
    run. Raises RunFailed at the end with the messages of the failing steps (also for a step that ran and is still due),
    and at once when another process works in the same workspace.
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
    failed: dict[tuple[str, str], list[str]] = {}  # reasons, by the job and key of the step
    while True:
        # Asked again before each step: a long one may outlast the round it began in.
        current, now = workspace.tournament.current_round(), workspace.tournament.now()
        if current is not None:
            workspace.remember_round(current)
        watch(workspace, current, now)
        due = next_steps(workspace, current, is_hindered=bool(failed) or is_near(workspace, current, now))
        steps = [step for step in due if len(failed.get((step.job, step.key), [])) < _TRIES.get(step.job, 1)]
        if not steps:
            break
        step = steps[0]
        place = step.job, step.key
        if any(step == earlier.step for earlier in done):
            failed[place] = [f"{step.key} ran and is still due ({step.why})"] * _TRIES.get(step.job, 1)
            continue
        announce(step)
        try:
            done.append(Done(step, execute(definitions, instance, step, current)))
            failed.pop(place, None)
            if step.job == "vintage":
                # A submission that failed for lack of a model may succeed now.
                failed = {(job, key): reasons for (job, key), reasons in failed.items() if job != "round"}
        except RunFailed as error:
            failed.setdefault(place, []).append(str(error))
            _tell(workspace, current, step, error)
            time.sleep(workspace.settings.network.retry_seconds)
    if failed:
        reasons = {key: tries[-1] for (_, key), tries in failed.items()}
        raise RunFailed("; ".join(f"{key}: {why}" if len(reasons) > 1 else why for key, why in reasons.items()))
    return current, done


def _tell(workspace: Workspace, current: Round | None, step: Step, error: RunFailed) -> None:
    where = f"round {current.number}" if current is not None else "between rounds"
    workspace.alert(f"{where} {step.key} failed", f"{where}: {step.key} failed. {error}")


def _end_dead_runs(instance: dg.DagsterInstance) -> None:
    """Marks as failed the runs of a killed command line, which Dagster still shows as running: the lock is ours, so none is."""
    for run in instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED], tags=_BY_COMMAND_LINE)):
        instance.report_run_failed(run, "the process that ran it has ended")


def execute(definitions: dg.Definitions, instance: dg.DagsterInstance, step: Step, current: Round | None = None) -> str:
    """Runs one step in this process and returns the run's id. Raises RunFailed with the failing step's message."""
    run, raised = run_of(step, current), list[BaseException]()
    if run.adds_partition is not None:
        definition, key = run.adds_partition
        instance.add_dynamic_partitions(definition, [key])

    # Dagster's events hold only the text of an error; a hook is given the error itself.
    @dg.failure_hook
    def keep_error(context: dg.HookContext) -> None:
        if context.op_exception is not None:
            raised.append(context.op_exception)

    result = (
        definitions.resolve_job_def(step.job)
        .with_hooks({keep_error})
        .execute_in_process(
            instance=instance,
            partition_key=run.partition_key,
            tags=run.tags | _BY_COMMAND_LINE,
            asset_selection=run.assets,
            # The events are in Dagster; the terminal shows progress and, if the run fails, one line of error.
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
            raise_on_error=False,
        )
    )
    if not result.success:
        raise RunFailed(_failed_checks(result) or _reason(raised, result.run_id))
    return result.run_id


def _failed_checks(result: dg.ExecuteInProcessResult) -> str:
    """Blocking asset checks that failed, with their metadata; empty when there is none."""
    return "; ".join(
        f"{evaluation.check_name} of {evaluation.asset_key.to_user_string()} does not hold: "
        + ", ".join(f"{name}={value.value}" for name, value in evaluation.metadata.items())
        for evaluation in result.get_asset_check_evaluations()
        if not evaluation.passed and evaluation.severity == dg.AssetCheckSeverity.ERROR
    )


def _reason(raised: Sequence[BaseException], run_id: str) -> str:
    """One line on the first error of a run."""
    if not raised:
        return f"run {run_id} failed; see it in Dagster's UI"
    error = raised[0]
    while error.__cause__ is not None:
        error = error.__cause__
    text = str(error).strip()
    if isinstance(error, NumeraiAssetsError | dg.Failure):
        return text
    named = f"{type(error).__name__}: {text.partition(chr(10))[0]}"
    if type(error) in (OSError, PermissionError):
        return f"{named}. Finished files are intact. Fix the cause and run again"
    return f"{named} (an error of this program; the traceback is in run {run_id} in Dagster's UI)"
