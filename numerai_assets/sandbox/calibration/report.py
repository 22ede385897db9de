"""Tables and plots of a world's calibration, for docs/sandbox.md.

python -m numerai_assets.sandbox.calibration.report WORLD --out docs

measures the synthetic world in folder WORLD (some minutes), writes sandbox_structure.png and sandbox_signal.png into the
given folder, and writes the tables between the marks in its sandbox.md. Exit status 1 if a figure is out of tolerance.
"""

import argparse
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure as Canvas

from numerai_assets.errors import SandboxError
from numerai_assets.sandbox.calibration import figures as c
from numerai_assets.sandbox.calibration import measures as m
from numerai_assets.sandbox.calibration.attainable import Attainable, attainable
from numerai_assets.sandbox.calibration.enlarged import Enlarged
from numerai_assets.sandbox.published.files import write_text
from numerai_assets.sandbox.published.prediction_names import EXAMPLE
from numerai_assets.sandbox.world.history import World

DOCUMENT = "sandbox.md"
_MODEL_STOCKS = 3000
# One 60-day window, so that these eras share no return.
_APART = 13
_REAL, _OURS = "#8a8f98", "#1f6feb"


def measure(world: World) -> tuple[list[c.Figure], c.ModelScores]:
    """Every figure of a synthetic world, and the scores of its example model."""
    eras = range(c.JUDGED_FROM, world.newest_era - _APART, _APART)
    scores = c.example_model(world, stocks=_MODEL_STOCKS)
    figures = [
        *c.structure(Enlarged.of(world, stocks=c.NUMERAI_STOCKS, begins=eras[0]), eras[0]),
        *c.persistence(Enlarged.of(world, stocks=_MODEL_STOCKS, begins=eras[0]), eras[0]),
        *c.targets(Enlarged.of(world, stocks=_MODEL_STOCKS, begins=eras[0]), eras),
        *c.feature_ics(Enlarged.of(world, stocks=c.NUMERAI_STOCKS, begins=eras[0]), eras),
        *c.model(scores),
        *c.contributions(world),
    ]
    return figures, scores


def figures_table(figures: Sequence[c.Figure]) -> str:
    """Markdown: real, ours, tolerance and its reason."""
    rows = ["| part | figure | real | ours | near enough | why |", "|---|---|---|---|---|---|"]
    for figure in figures:
        ours = _number(figure.ours) + ("" if math.isnan(figure.error) else f" ± {_number(figure.error)}")
        mark = "" if figure.holds else " **out**"
        near = f"{_number(figure.low)} to {_number(figure.high)}"
        rows.append(f"| {figure.part} | {figure.name} | {figure.real} | {ours}{mark} | {near} | {figure.why} |")
    return "\n".join(rows)


def attainable_table(found: Sequence[Attainable]) -> str:
    """Markdown: attainable scores, and the example model's share of them."""
    rows = ["| component | CORR, ender_20 | CORR, ender_60 |", "|---|---|---|"]
    by_name: dict[str, dict[int, Attainable]] = {}
    for line in found:
        by_name.setdefault(line.component, {})[line.horizon] = line
    for name, at in by_name.items():
        cells = (f"{at[horizon].mean:+.4f} ± {at[horizon].error:.4f}" for horizon in (20, 60))
        rows.append(f"| {name} | {' | '.join(cells)} |")
    example, everything = by_name[EXAMPLE], by_name["all"]
    shares = (f"{example[horizon].mean / everything[horizon].mean:.0%}" for horizon in (20, 60))
    return "\n".join([*rows, f"| {EXAMPLE}, share of all | {' | '.join(shares)} |"])


def plot_structure(figures: Sequence[c.Figure]) -> Canvas:
    """Eigenvalues, groups and persistence, real and ours."""
    canvas = Canvas(figsize=(12, 3.6), layout="constrained")
    eigen, groups, lags = canvas.subplots(1, 3)
    ours = _of(figures, "eigenvalue shares, 42 features")
    place = np.arange(1, 11)
    eigen.plot(place, c.SMALL_EIGENVALUES, "o-", color=_REAL, label="real: v5.2 era 0575, small")
    eigen.plot(place, list(ours.values()), "o-", color=_OURS, label="sandbox, mean of 20 draws")
    eigen.set(title="Largest eigenvalues of 42 features", xlabel="number", ylabel="share of variance", ylim=(0, None))
    _side_by_side(groups, c.GROUP_CORRELATION, _of(figures, "mean absolute correlation within groups"))
    groups.set(title="Mean |correlation| within groups")
    kept = [value for name, value in _of(figures, "persistence").items() if name.startswith("mean")]
    lags.plot(list(c.PERSISTENCE), list(c.PERSISTENCE.values()), "o-", color=_REAL, label="real: 35 price features")
    lags.plot(list(c.PERSISTENCE), kept, "o-", color=_OURS, label="sandbox")
    lags.set(title="Autocorrelation of features", xlabel="lag, eras", ylim=(0, 1))
    for axes in (eigen, groups, lags):
        axes.legend(frameon=False, fontsize=8)
    return canvas


def plot_signal(scores: c.ModelScores, found: Sequence[Attainable]) -> Canvas:
    """Overlap of the example model's CORR, its path, and the attainable CORR."""
    canvas = Canvas(figsize=(12, 3.6), layout="constrained")
    overlap, path, parts = canvas.subplots(1, 3)
    real = {0: 1.0, **c.CORR_AUTOCORRELATION}
    overlap.plot(list(real), list(real.values()), "o-", color=_REAL, label="real: LightGBM, 397 eras")
    lags = range(1, 14)
    for horizon, style in ((20, "o-"), (60, "o--")):
        ours = {0: 1.0, **m.autocorrelation(scores.corr[horizon], lags)}
        overlap.plot(
            list(ours), list(ours.values()), style, color=_OURS, markersize=4, label=f"sandbox, ender_{horizon}"
        )
    overlap.axhline(0, color="black", linewidth=0.5)
    overlap.set(title="Autocorrelation of per-era CORR", xlabel="lag, eras")
    for horizon, style in ((20, "-"), (60, "--")):
        path.plot(
            scores.eras, np.cumsum(scores.corr[horizon]), style, color=_OURS, label=f"example model, ender_{horizon}"
        )
    low, high = (0.0126, 0.0286)
    steps = np.arange(1, len(scores.eras) + 1)
    path.fill_between(
        scores.eras, low * steps, high * steps, color=_REAL, alpha=0.3, label="real mean CORR .0126-.0286"
    )
    path.set(title=f"Cumulative CORR, {scores.rows:,} stocks", xlabel="era")
    names = list(dict.fromkeys(line.component for line in found))
    for shift, horizon in ((-0.2, 20), (0.2, 60)):
        of = [line for line in found if line.horizon == horizon]
        parts.barh(
            np.arange(len(of)) + shift,
            [line.mean for line in of],
            height=0.38,
            xerr=[line.error for line in of],
            color=_OURS,
            alpha=0.5 if horizon == 20 else 1.0,
            label=f"ender_{horizon}",
        )
    parts.set_yticks(np.arange(len(names)), names)
    parts.invert_yaxis()
    parts.set(title="Attainable mean CORR", xlabel="mean ± standard error")
    for axes in (overlap, path, parts):
        axes.legend(frameon=False, fontsize=8)
    return canvas


def fill(text: str, name: str, table: str) -> str:
    """`text` with `table` between its marks `<!-- name -->` and `<!-- /name -->`. SandboxError without these marks."""
    begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    if text.count(begin) != 1 or text.count(end) != 1:
        raise SandboxError(f"{DOCUMENT}: expected the marks {begin} and {end} once each")
    before, _, rest = text.partition(begin)
    return f"{before}{begin}\n{table}\n{end}{rest.partition(end)[2]}"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("world", type=Path, help="folder of a synthetic world")
    parser.add_argument("--out", type=Path, required=True, help=f"folder of {DOCUMENT}")
    options = parser.parse_args(arguments)
    world = World.open(options.world)
    document = options.out / DOCUMENT
    text = document.read_text()
    figures, scores = measure(world)
    found = attainable(world)
    text = fill(text, "attainable", attainable_table(found))
    write_text(document, fill(text, "figures", figures_table(figures)))
    plot_structure(figures).savefig(options.out / "sandbox_structure.png", dpi=110)
    plot_signal(scores, found).savefig(options.out / "sandbox_signal.png", dpi=110)
    out = [figure for figure in figures if not figure.holds]
    for figure in out:
        print(f"{figure.part}, {figure.name}: {figure.ours:.4g}, expected {figure.low:.4g} to {figure.high:.4g}")
    print(f"{len(figures) - len(out)} of {len(figures)} figures within tolerance")
    return 1 if out else 0


def _of(figures: Sequence[c.Figure], part: str) -> dict[str, float]:
    return {figure.name: figure.ours for figure in figures if figure.part == part}


def _side_by_side(axes: Any, real: Mapping[str, float], ours: Mapping[str, float]) -> None:
    place = np.arange(len(real))
    axes.bar(place - 0.2, list(real.values()), width=0.4, color=_REAL, label="real: v5.3 study")
    axes.bar(place + 0.2, [ours[name] for name in real], width=0.4, color=_OURS, label="sandbox")
    axes.set_xticks(place, list(real), rotation=60, ha="right", fontsize=8)


def _number(value: float) -> str:
    return f"{value:.0f}" if value == round(value) else f"{value:.4f}" if abs(value) < 0.1 else f"{value:.3g}"


if __name__ == "__main__":
    raise SystemExit(main())
