"""`numerai search`: its options reach the search, and its result can be pasted into the settings."""

import math
import tomllib
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from numerai_assets.cli.main import main
from numerai_assets.cli.search import toml_of
from numerai_assets.evaluation.seed_spread import SeedSpread
from numerai_assets.pipeline.search import Searched
from numerai_assets.pipeline.study import Found

FOUND = Found(3, 0.0123, {"depth": 5}, {600: 0.01, 650: 0.02}, 8, 2, 1, 0.75)
SPREAD = SeedSpread(50, 3, 0.0123, 0.004, 0.001, 0.0045, 0.0017)


@pytest.fixture
def given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Keywords that the search was called with."""
    monkeypatch.chdir(tmp_path)
    keywords: dict[str, Any] = {}

    def search_method(_: Any, method: str, **options: Any) -> Searched:
        keywords.update(options, method=method)
        parameters = {"depth": 5, "boosting": "dart", "linear": True, "rate": 0.1}
        return Searched(FOUND, Path("page.html"), 600, 650, parameters, SPREAD if options["seeds"] > 1 else None)

    monkeypatch.setattr("numerai_assets.pipeline.search.search_method", search_method)
    return keywords


def search(*options: str) -> Result:
    return CliRunner().invoke(main, ["search", "benchmark", *options])


def test_by_default_folds_are_chained_forward_with_one_seed_and_no_limit_of_time(given: dict[str, Any]) -> None:
    shown = search()

    assert shown.exit_code == 0, shown.output
    del given["progress"]
    assert given == {
        "method": "benchmark", "metric": "corr", "trials": 50, "folds": 4, "splits": "forward", "seeds": 1,
        "seconds": math.inf,
    }  # fmt: skip
    assert "8 trials complete, 2 pruned, 1 failed; validated on eras 0600-0650" in shown.output
    assert "given 10 trials: 0.75" in shown.output
    assert "seeds" not in shown.output


def test_options_reach_the_search(given: dict[str, Any]) -> None:
    shown = search("--splits", "combinatorial", "--folds", "6", "--seeds", "3", "--timeout", "2")

    assert (given["splits"], given["folds"], given["seeds"], given["seconds"]) == ("combinatorial", 6, 3, 120)
    assert "3 seeds: mean +0.0123, standard error 0.0045 (0.0040 between eras, 0.0010 between seeds)" in shown.output


def test_hyperparameters_are_printed_as_settings(given: dict[str, Any]) -> None:
    text = search().output

    table = tomllib.loads(text[text.index("[methods.benchmark.parameters]") :])
    assert table["methods"]["benchmark"]["parameters"] == {
        "depth": 5, "boosting": "dart", "linear": True, "rate": 0.1,
    }  # fmt: skip
    assert (toml_of(True), toml_of("a"), toml_of(0.5)) == ("true", '"a"', "0.5")


def test_an_unknown_splitter_is_refused_with_the_known_ones(given: dict[str, Any]) -> None:
    shown = search("--splits", "shuffled")

    assert shown.exit_code == 2
    assert "'forward', 'rolling', 'k-fold', 'combinatorial', 'official'" in shown.output
