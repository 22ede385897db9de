"""The weekly schedule and the round sensor: both follow the plan, one run at a time.

Both are stopped until the operator starts them in Dagster's UI, so that importing the project submits nothing.
"""

import time
from collections.abc import Iterator, Sequence
from typing import Any

import dagster as dg

from numerai_assets.automation.jobs import PLANNED_TAG, ROUND_TAG, STEP_TAG, run_of
from numerai_assets.errors import NumeraiAssetsError
from numerai_assets.pipeline.deadline import is_near, tell_blocked, watch
from numerai_assets.pipeline.plan import Step, next_steps
from numerai_assets.pipeline.workspace import Workspace
from numerai_assets.tournament.client import Round

_MAX_FAILURES = 3
# Without these there is no submission: they are retried until the round closes, at growing intervals.
_NEVER_GIVEN_UP = ("release", "eras", "round")
_LONGEST_WAIT_SECONDS = 900
_ACTIVE = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]
# Weekend rounds open on Saturday at 12:00 UTC, when the vendor's data is there, and close on Sunday at 14:00.
WEEKEND_POLL = ["*/5 12-23 * * SAT", "*/5 0-13 * * SUN"]


def next_run(
    instance: dg.DagsterInstance, workspace: Workspace, *, weekend: bool | None
) -> dg.RunRequest | dg.SkipReason:
    """The request for the next run of the plan, or why there is none. `weekend` limits it to rounds of that kind."""
    try:
        current = workspace.tournament.current_round()
        if current is None:
            return dg.SkipReason("no round is open")
        if weekend is not None and current.is_weekend != weekend:
            return dg.SkipReason(f"round {current.number} is not a {'weekend' if weekend else 'weekday'} round")
        workspace.remember_round(current)
        now = workspace.tournament.now()
        watch(workspace, current, now)
        is_hindered = is_near(workspace, current, now) or _has_failed_runs(instance, current)
        steps = next_steps(workspace, current, is_hindered=is_hindered)
    except NumeraiAssetsError as error:
        tell_blocked(workspace, error)
        return dg.SkipReason(str(error))
    if not steps:
        return dg.SkipReason(f"round {current.number}: everything is done")
    active = instance.get_runs(dg.RunsFilter(statuses=_ACTIVE, tags={PLANNED_TAG: "yes"}))
    # A submission does not wait for a fit that may outlast the round.
    in_the_way = [run for run in active if steps[0].job != "round" or run.job_name == "round"]
    if in_the_way:
        return dg.SkipReason(f"run {in_the_way[0].run_id[:8]} ({in_the_way[0].tags[STEP_TAG]}) is still going")
    answers = []
    for step in steps:
        answers.append(_request(instance, step, current))
        if isinstance(answers[-1], dg.RunRequest):
            return answers[-1]
    return answers[0]


def _has_failed_runs(instance: dg.DagsterInstance, current: Round) -> bool:
    """True when any planned run of this round failed; the submission then runs first."""
    tags = {PLANNED_TAG: "yes", ROUND_TAG: str(current.number)}
    return bool(instance.get_run_records(dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE], tags=tags), limit=1))


def _request(instance: dg.DagsterInstance, step: Step, current: Round) -> dg.RunRequest | dg.SkipReason:
    run, round_number = run_of(step, current), current.number
    tags = run.tags
    same = {name: tags[name] for name in (STEP_TAG, ROUND_TAG)}
    failed = instance.get_run_records(dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE], tags=same))
    if len(failed) >= _MAX_FAILURES and step.job not in _NEVER_GIVEN_UP:
        return dg.SkipReason(
            f"{tags[STEP_TAG]} failed {len(failed)} times in round {round_number}; fix the cause and run it by hand"
        )
    if failed:
        wait = min(_LONGEST_WAIT_SECONDS, 60 * 2 ** (len(failed) - 1))
        since = time.time() - max(record.update_timestamp.timestamp() for record in failed)
        if since < wait:
            return dg.SkipReason(f"{tags[STEP_TAG]} failed {len(failed)} times; next try in {wait - since:.0f} s")
    if run.adds_partition is not None:
        definition, key = run.adds_partition
        instance.add_dynamic_partitions(definition, [key])
    return dg.RunRequest(job_name=step.job, partition_key=run.partition_key, tags=tags, asset_selection=run.assets)


def build_sensor(jobs: Sequence[Any]) -> dg.SensorDefinition:
    """The sensor that serves the open round and continues a chain that the schedule started."""

    @dg.sensor(name="round", jobs=jobs, minimum_interval_seconds=30, default_status=dg.DefaultSensorStatus.STOPPED)
    def _round(
        context: dg.SensorEvaluationContext, workspace: dg.ResourceParam[Workspace]
    ) -> Iterator[dg.RunRequest | dg.SkipReason]:
        """Refresh and submit when a round is open; retrain and validate at weekends."""
        yield next_run(context.instance, workspace, weekend=None)

    return _round


def build_schedule(job: Any) -> dg.ScheduleDefinition:
    """The schedule that polls for the opening of the weekend round and starts its chain with the release."""

    @dg.schedule(
        name="weekly",
        job=job,
        cron_schedule=WEEKEND_POLL,
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.STOPPED,
    )
    def _weekly(
        context: dg.ScheduleEvaluationContext, workspace: dg.ResourceParam[Workspace]
    ) -> dg.RunRequest | dg.SkipReason:
        """Fetch the new week's release once the weekend round is open; the round sensor continues from there."""
        request = next_run(context.instance, workspace, weekend=True)
        if isinstance(request, dg.RunRequest) and request.job_name != job.name:
            return dg.SkipReason(f"{request.job_name} is next: the round sensor runs it")
        return request

    return _weekly
