"""`numerai sandbox faults | full-release`: faults of the local tournament, and a release of true size."""

from pathlib import Path
from typing import Any

import click

from numerai_assets.cli.guarded import guarded
from numerai_assets.errors import SettingsError
from numerai_assets.settings import load_settings

LOG_LINES = 20


@click.group()
def faults() -> None:
    """Make the sandbox fail as the real tournament can: at random by rate and seed, or by a script of events."""


@faults.command("list")
@guarded
def list_() -> None:
    """List every fault: its effect, where it can occur, its parameters and its rate in a bad year."""
    from numerai_assets.sandbox.faults.catalogue import ANY, FAULTS, Scope

    width = max(map(len, FAULTS)) + 2
    for fault in FAULTS.values():
        strikes = f"a {fault.scope}" if fault.scope is not Scope.REQUEST else ", ".join(fault.on)
        fields = fault.parameters.model_fields.items()
        given = [f"{name}={field.default}" for name, field in fields]
        details = ("any request" if fault.on == ANY else strikes, *given, f"a bad year: {fault.bad_year:g}")
        click.echo(f"{fault.name:<{width}}{fault.does}\n{'':<{width}}{', '.join(details)}")


@faults.command("set")
@click.argument("rates", nargs=-1, required=True, metavar="NAME=RATE...")
@click.option("--seed", type=int, default=0, show_default=True, help="The same seed gives the same faults.")
@guarded
def set_(rates: tuple[str, ...], seed: int) -> None:
    """Inject random faults, e.g. server-error=0.02. Replaces the active plan."""
    from numerai_assets.sandbox.faults.plan import parse

    _put(parse({"seed": seed, "rates": dict(_rate(text) for text in rates)}, "faults set"))


@faults.command("script")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@guarded
def script(file: Path) -> None:
    """Inject the faults planned in FILE (.toml or .json: seed, rates, events). Replaces the active plan."""
    from numerai_assets.sandbox.faults.plan import load

    _put(load(file))


@faults.command("show")
@guarded
def show() -> None:
    """Show the active plan and how often each fault occurred."""
    from numerai_assets.sandbox.server import process

    _show(process.faults(_world()))


@faults.command("clear")
@guarded
def clear() -> None:
    """Stop all faults. The log stays, and so does a universe that was published with missing ids."""
    _put(None)


@faults.command("log")
@click.option("--all", "everything", is_flag=True, help=f"Show all entries, not only the last {LOG_LINES}.")
@guarded
def log(everything: bool) -> None:
    """Show the faults that occurred, oldest first; all are in the world's server/faults.jsonl."""
    from numerai_assets.sandbox.server import process

    entries = process.fault_log(_world())
    for entry in entries if everything else entries[-LOG_LINES:]:
        click.echo(f"{entry['at'][:19]}  round {entry['round']}  {entry['fault']}  {entry['on']}  ({entry['why']})")
    if not entries:
        click.echo("no fault occurred")


def _rate(text: str) -> tuple[str, float]:
    name, _, rate = text.partition("=")
    try:
        return name, float(rate)
    except ValueError:
        raise SettingsError(f"faults set {text!r}: expected NAME=RATE, such as server-error=0.02") from None


def _put(plan: Any) -> None:
    from numerai_assets.sandbox.server import process

    _show(process.put_faults(_world(), plan))


def _show(found: dict[str, Any]) -> None:
    plan = found["plan"]
    if plan is None:
        click.echo("no faults are active")
        return
    click.echo(f"faults since {found['since'][:16]} (sandbox time), seed {plan.get('seed', 0)}")
    struck = found["struck"]
    for name, rate in plan.get("rates", {}).items():
        click.echo(f"  {name}: rate {rate['rate']:g}, occurred {struck.get(name, 0)} times")
    for number, event in enumerate(plan.get("events", ()), start=1):
        at = ", ".join(f"{key} {value}" for key, value in event.get("at", {}).items()) or "immediately"
        click.echo(f"  event {number}: {event['fault']} ({at}), {event.get('count', 1)} times")


def _world() -> Path:
    return load_settings(tournament="sandbox").workspace / "world"


@click.command("full-release")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), required=True, help="A new or empty folder.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option("--eras", default="0001-1234", show_default=True, metavar="FIRST-NEWEST", help="Eras to write.")
@click.option("--features", type=int, default=3555, show_default=True, help="Number of features.")
@click.option("--rows-share", type=float, default=1.0, show_default=True, help="Share of an era's real rows.")
@click.option(
    "--features-json",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="A real features.json to take names and sets from.",
)
@guarded
def full_release(out: Path, seed: int, eras: str, features: int, rows_share: float, features_json: Path | None) -> None:
    """Write a release of Numerai's true size and report its cost: 19 CPU minutes, 2.8 GB of memory, 10 GB of disk."""
    from numerai_assets.eras import parse_era
    from numerai_assets.sandbox.full_release.shape import FullShape
    from numerai_assets.sandbox.full_release.write import write_full_release

    first, _, newest = eras.partition("-")
    shape = FullShape(parse_era(first), parse_era(newest), features, rows_share)
    with click.progressbar(length=len(shape.eras), label=f"{shape}") as bar:
        meter = write_full_release(
            out, shape=shape, seed=seed, features_json=features_json, progress=lambda stage, done, total: bar.update(1)
        )
    click.echo(f"{meter.table()}\n{out / 'v5.3'}")
