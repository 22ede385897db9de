"""`numerai`: the commands of the terminal. Dagster is imported only by those that run assets: weekly, backfill, ui."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from numerai_assets.cli.explain import explain
from numerai_assets.cli.guarded import guarded
from numerai_assets.cli.sandbox import faults, full_release
from numerai_assets.cli.search import search_command
from numerai_assets.errors import RoundClosedError, SettingsError
from numerai_assets.settings import Settings, load_settings

if TYPE_CHECKING:
    from numerai_assets.pipeline.plan import Step
    from numerai_assets.pipeline.workspace import Workspace


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="numerai-assets")
def main() -> None:
    """Numerai's weekly tournament, from the data release to the proven submission.

    Settings come from numerai.toml and from NUMERAI_* variables, API keys from NUMERAI_PUBLIC_ID and NUMERAI_SECRET_KEY.
    """


@main.command()
@click.option("--with-sandbox", is_flag=True, help="Start the local tournament first if the settings use it.")
@guarded
def weekly(with_sandbox: bool) -> None:
    """Run the weekly job: fetch data, train due vintages, predict the open round, submit it and prove the submission."""
    from numerai_assets.automation.conductor import conduct
    from numerai_assets.cli import terminal

    settings = load_settings()
    if with_sandbox:
        _ensure_sandbox(settings)
    definitions, workspace, instance = _pipeline(settings)
    say = terminal.console.print
    current, done = conduct(
        definitions,
        workspace,
        instance,
        announce=lambda step: say(f"[bold]{step.job}[/] {' '.join(step.partitions)} [dim]{step.why}[/]"),
    )
    for method in settings.active_methods:
        _show_validation(workspace, method)
    served = {step.partitions[0] for step in (item.step for item in done) if step.job == "round"}
    if current is None and not served:
        upcoming = workspace.tournament.next_round()
        opening = f"; the next opens {upcoming.opens:%a %Y-%m-%d %H:%M} UTC" if upcoming else ""
        raise RoundClosedError(f"no round is open{opening}. Nothing was submitted; everything else is up to date")
    if current is not None:
        say(f"Submitted to {terminal.describe_round(current)}" + ("" if served else " earlier; nothing was due"))
        served.add(str(current.number))
    terminal.show_receipts([r for r in workspace.desk.receipts() if str(r.round_number) in served])
    me = _as_typed()
    if settings.tournament == "sandbox":
        say(f"Next: [bold]{me} sandbox advance --to next-round[/] and [bold]{me} weekly[/] again, or [bold]make ui[/]")
    else:
        say("Next: [bold]make ui[/] and switch on the schedule `weekly` and the sensor `round`")


@main.command()
@click.option(
    "--expect-round", is_flag=True, help="Exit with 1 when the current round is not submitted: for cron and monitors."
)
@click.option("--grace-minutes", default=30, show_default=True, help="How long an open round may lack its submission.")
@guarded
def status(expect_round: bool, grace_minutes: int) -> None:
    """Show the open round, stored eras, vintages, submissions and their scores."""
    from numerai_assets.cli import terminal
    from numerai_assets.pipeline.live_scores import read_live_scores
    from numerai_assets.pipeline.vintages import refused_vintages
    from numerai_assets.tournament.scores import latest_scores

    settings = load_settings()
    workspace = _workspace(settings)
    if expect_round:
        from numerai_assets.pipeline.deadline import expect_submitted

        click.echo(expect_submitted(workspace, grace_minutes))
        return
    current = workspace.tournament.current_round()
    say = terminal.console.print
    say(terminal.describe_round(current) if current else "no round is open")
    eras = workspace.store.eras()
    say(f"store: {len(eras)} eras" + (f", {eras[0]:04d}-{eras[-1]:04d}" if eras else ""))
    for method in settings.active_methods:
        vintages = workspace.vintages.vintages(method)
        say(f"{method}: vintages {', '.join(f'{v:04d}' for v in vintages) or 'none'}")
        _show_validation(workspace, method)
    for refusal in refused_vintages(workspace):
        say(
            f"{refusal.method}: vintage {refusal.vintage:04d} cannot be fitted and is not tried again: {refusal.reason}"
        )
    if receipts := workspace.desk.receipts():
        terminal.show_receipts(receipts[-10:])
    scores = read_live_scores(workspace)
    if len(scores):
        terminal.show_scores(latest_scores(scores).tail(10))


@main.command()
@guarded
def doctor() -> None:
    """Check keys, slots, disk, memory, clock and the next round, and list the steps that are due. Changes nothing."""
    from rich.markup import escape

    from numerai_assets.cli import terminal
    from numerai_assets.cli.doctor import examine

    findings = examine(_workspace(load_settings()))
    for finding in findings:
        mark = "[green]ok  [/]" if finding.is_well else "[red]bad [/]"
        terminal.console.print(f"{mark} {escape(finding.subject)}: {escape(finding.text)}")
    if not all(finding.is_well for finding in findings):
        sys.exit(1)


@main.command()
@click.option("--eras", help="Eras to store and clean again, e.g. 0600-0620.")
@click.option("--vintages", help="Vintages to train and to predict with, e.g. 0574,0626.")
@guarded
def backfill(eras: str | None, vintages: str | None) -> None:
    """Make historical eras (one run) or vintages (one run each) with the code of the live process."""
    from numerai_assets.automation.conductor import execute
    from numerai_assets.cli import terminal
    from numerai_assets.eras import era_label, parse_era
    from numerai_assets.pipeline.plan import Step

    if not eras and not vintages:
        raise SettingsError("backfill: name --eras 0600-0620 or --vintages 0574,0626")
    definitions, workspace, instance = _pipeline(load_settings())
    steps = []
    if eras:
        steps += _backfill_of_eras(workspace, *_released_range(workspace, eras))
    named = [label.strip() for label in (vintages or "").split(",") if label]
    steps += [Step("vintage", (era_label(parse_era(label)),), "backfill") for label in named]
    for step in steps:
        terminal.console.print(f"[bold]{step.job}[/] {' '.join(step.partitions)} [dim]{step.why}[/]")
        execute(definitions, instance, step)


@main.command()
@click.option(
    "--output", type=click.Path(path_type=Path, dir_okay=False), default=None, help="Where to write the page."
)
@guarded
def report(output: Path | None) -> None:
    """Write one HTML page: validation, regimes, exposures, live scores, submissions, drift."""
    from numerai_assets.pipeline.report import write_report

    workspace = _workspace(load_settings())
    path = output or workspace.folder / "report.html"
    write_report(workspace, path)
    click.echo(f"wrote {path}")


@main.command()
@click.option("--port", default=3000, show_default=True)
@guarded
def ui(port: int) -> None:
    """Start Dagster's UI and daemon, and the sandbox if the settings use it."""
    from numerai_assets.automation.launch import point_dagster, serve_ui

    settings = load_settings()
    _ensure_sandbox(settings)
    point_dagster(settings)
    click.echo(f"Dagster on http://127.0.0.1:{port}; Ctrl-C stops it. Switch on `weekly` and `round` under Automation.")
    serve_ui(port)


@main.command("export")
@click.option("--eras", help="A range such as 0575-0700, or one era; default: all stored eras.")
@click.option("--feature-set", default="all", show_default=True, help="A set of features.json, e.g. medium.")
@click.option("--targets", help="Names of targets, separated by commas, or `all`; default: none.")
@click.option("--out", required=True, type=click.Path(path_type=Path, dir_okay=False), help="The Parquet file.")
@guarded
def export_command(eras: str | None, feature_set: str, targets: str | None, out: Path) -> None:
    """Write stored, cleaned eras to one Parquet file for other programs: id, era, features, targets."""
    from tqdm import tqdm

    from numerai_assets.eras import era_label, parse_era
    from numerai_assets.store.export import export
    from numerai_assets.tournament.release import FEATURES

    workspace = _workspace(load_settings())
    store, stored = workspace.store, workspace.store.eras()
    if not stored:
        raise SettingsError("export: the era store is empty; run `numerai weekly` first")
    first, _, last = (eras or f"{era_label(stored[0])}-{era_label(stored[-1])}").partition("-")
    wanted = range(parse_era(first), parse_era(last or first) + 1)
    if not wanted or wanted[0] < stored[0] or wanted[-1] > stored[-1]:
        raise SettingsError(f"export: --eras {eras}: expected a range within {stored[0]:04d}-{stored[-1]:04d}")
    released = workspace.release.features() if workspace.release.path(FEATURES).is_file() else {}
    sets = released | {"all": list(store.feature_names)}
    if feature_set not in sets:
        raise SettingsError(f"export: --feature-set {feature_set}: expected one of {', '.join(sets)}")
    names = store.target_names if targets == "all" else [name.strip() for name in (targets or "").split(",") if name]
    keys = tqdm([era_label(era) for era in wanted], desc="eras", leave=False, disable=not sys.stderr.isatty())
    rows = export(store, keys, out, features=sets[feature_set], targets=names)
    click.echo(
        f"wrote {out}: {len(wanted)} eras, {rows:,} rows, {len(sets[feature_set])} features, {len(names)} targets"
    )


main.add_command(explain)


@main.group()
def store() -> None:
    """Check the era store."""


@store.command()
@click.option(
    "--repair", is_flag=True, help="Drop damaged eras; the next weekly run writes them again from the release."
)
@guarded
def verify(repair: bool) -> None:
    """Compare every file of the store with its checksum."""
    from numerai_assets.errors import StoreError

    workspace = _workspace(load_settings())
    bad = workspace.store.verify()
    if not bad:
        click.echo(f"{len(workspace.store.records())} eras, all as recorded")
        return
    if not repair:
        raise StoreError(f"{len(bad)} damaged: {', '.join(bad[:10])}; add --repair to drop them and fetch them again")
    for key in bad:
        workspace.store.forget(key)
    click.echo(f"dropped {', '.join(bad)}; `numerai weekly` writes them again")


main.add_command(search_command)


@main.group()
def sandbox() -> None:
    """The local tournament: a whole Numerai on this machine, for rehearsals."""


sandbox.add_command(faults)
sandbox.add_command(full_release)


@sandbox.command("start")
@guarded
def sandbox_start() -> None:
    """Start the local tournament; create its world first if there is none."""
    _ensure_sandbox(load_settings(tournament="sandbox"))


@sandbox.command("advance")
@click.option("--to", "to", default="next-round", show_default=True, help="next-round, +3d, +12h or a date.")
@guarded
def sandbox_advance(to: str) -> None:
    """Advance the sandbox's clock: rounds open and close, eras are added, targets resolve, scores arrive."""
    from numerai_assets.sandbox.server import process

    _show_sandbox(process.advance(_world(load_settings(tournament="sandbox")), to))


@sandbox.command("status")
@guarded
def sandbox_status() -> None:
    """Show the sandbox's time, open round and submissions."""
    from numerai_assets.sandbox.server import process

    _show_sandbox(process.status(_world(load_settings(tournament="sandbox"))))


@sandbox.command("stop")
@guarded
def sandbox_stop() -> None:
    """Stop the server; the world stays on disk."""
    from numerai_assets.sandbox.server import process

    stopped = process.stop(_world(load_settings(tournament="sandbox")))
    click.echo("sandbox stopped" if stopped else "the sandbox was not running")


def _released_range(workspace: "Workspace", text: str) -> tuple[str, str]:
    """First and last era of "0600-0620" or "0600". Raises SettingsError unless the release holds both."""
    from numerai_assets.eras import era_label, parse_era
    from numerai_assets.tournament.release import TRAIN, VALIDATION

    first, _, last = text.partition("-")
    wanted = (parse_era(first), parse_era(last or first))
    train, validation = workspace.release.manifest(TRAIN), workspace.release.manifest(VALIDATION)
    if train is None or validation is None:
        raise SettingsError("backfill: no release on disk; run `numerai weekly` first")
    released = (parse_era(train.eras[0]), validation.newest_era)
    if not released[0] <= wanted[0] <= wanted[1] <= released[1]:
        raise SettingsError(f"backfill: --eras {text}: expected a range within {released[0]:04d}-{released[1]:04d}")
    return era_label(wanted[0]), era_label(wanted[1])


def _backfill_of_eras(workspace: "Workspace", first: str, last: str) -> "list[Step]":
    """The step for a range of eras; before it the step for the release, when the part on disk lacks some of them."""
    from numerai_assets.pipeline.plan import Step
    from numerai_assets.tournament.increment import not_on_disk
    from numerai_assets.tournament.release import VALIDATION

    eras = Step("eras", (first, last), "backfill")
    manifest = workspace.release.manifest(VALIDATION)
    absent = [] if manifest is None else not_on_disk(manifest, workspace.store)
    if not any(int(first) <= era <= int(last) for era in absent):
        return [eras]
    return [Step("release", (), f"only a part of {VALIDATION} is on disk, and the store lacks eras of the range"), eras]


def _as_typed() -> str:
    """This program's name as the user can type it in the working folder."""
    path = Path(sys.argv[0]).absolute()
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else path.name


def _world(settings: Settings) -> Path:
    return settings.workspace / "world"


def _ensure_sandbox(settings: Settings) -> None:
    if settings.tournament != "sandbox":
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from numerai_assets.cli import terminal
    from numerai_assets.sandbox.market.economy import Dials
    from numerai_assets.sandbox.server import process

    options = settings.sandbox
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=terminal.console, transient=True) as bars:
        tasks: dict[str, Any] = {}

        def progress(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(f"sandbox: {stage}", total=total)
            bars.update(tasks[stage], completed=done, total=total)

        process.start(
            _world(settings),
            port=options.port,
            market=options.market,
            size=options.size,
            seed=options.seed,
            prices=options.prices,
            features_json=options.features_json,
            dials=Dials(**options.dials.model_dump()),
            models=options.models,
            progress=progress,
        )
    _show_sandbox(process.status(_world(settings)))


def _show_sandbox(found: Any) -> None:
    from numerai_assets.cli import terminal

    if found.now is None:
        terminal.console.print("sandbox: never started")
        return
    opening = f"next round opens {found.next_opening:%a %Y-%m-%d %H:%M} UTC"
    terminal.console.print(
        f"sandbox ({found.url if found.running else 'stopped'}): {found.now:%a %Y-%m-%d %H:%M} UTC, "
        f"era {found.newest_era:04d}, {f'round {found.open_round} is open' if found.open_round else opening}, "
        f"{found.submissions} submissions"
    )


def _workspace(settings: Settings) -> "Workspace":
    from numerai_assets.pipeline.workspace import Workspace

    return Workspace(settings)


def _pipeline(settings: Settings) -> "tuple[Any, Workspace, Any]":
    """Dagster's definitions, the workspace and Dagster's instance."""
    from numerai_assets.automation.launch import open_instance
    from numerai_assets.definitions import build_definitions

    if not settings.slots:
        raise SettingsError("no [slots] in the settings: name a model slot of your account and the method it submits")
    return build_definitions(settings), _workspace(settings), open_instance(settings)


def _show_validation(workspace: "Workspace", method: str) -> None:
    from numerai_assets.cli import terminal
    from numerai_assets.evaluation.diagnostics import validation_table
    from numerai_assets.pipeline.diagnostics import read_scores

    scores = read_scores(workspace, method)
    if len(scores):
        terminal.show_validation(
            method,
            validation_table(scores),
            first_era=int(scores.index[0]),
            last_era=int(scores.index[-1]),
            vintages=int(scores["vintage"].nunique()),
        )


if __name__ == "__main__":
    main()
