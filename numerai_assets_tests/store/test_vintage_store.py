"""Fitted models on disk: sealed with their facts, and refused when they are not what was fitted."""

import json
from pathlib import Path
from typing import Any

import pytest

from numerai_assets.errors import StoreError
from numerai_assets.store.eras_used import eras_of
from numerai_assets.store.vintage_store import Vintage, VintageStore, seal

FACTS = {
    "target": "target_ender_60",
    "first_fit_era": 1,
    "last_fit_era": 24,
    "fit_eras": 6,
    "rows": 300,
    "features": 8,
    "feature_set": "all",
    "cleaning": "median",
    "parameters": {"n_estimators": 7, "learning_rate": 0.5},
    "seed": 3,
}


def fit(store: VintageStore, vintage: int, content: str = "trees", method: str = "benchmark", **others: Any) -> Vintage:
    with store.writing(method, vintage) as folder:
        (folder / "model.txt").write_text(content)
        (folder / "parts").mkdir(exist_ok=True)
        (folder / "parts" / "a.bin").write_bytes(b"\x00\x01")
        return seal(folder, method=method, vintage=vintage, **FACTS | others)


@pytest.fixture
def store(tmp_path: Path) -> VintageStore:
    return VintageStore(tmp_path / "models")


def test_a_sealed_vintage_tells_its_facts_and_is_verified(store: VintageStore) -> None:
    sealed = fit(store, 40)

    facts = store.facts("benchmark", 40)
    folder = store.verified("benchmark", 40)

    assert facts == sealed
    assert (facts.method, facts.vintage, facts.parameters) == ("benchmark", 40, FACTS["parameters"])
    assert set(facts.files) == {"model.txt", "parts/a.bin"}
    assert (folder / "model.txt").read_text() == "trees"


@pytest.mark.parametrize("file", ["model.txt", "parts/a.bin"])
def test_a_changed_file_is_refused(store: VintageStore, file: str) -> None:
    fit(store, 40)
    path = store.folder / "benchmark" / "0040" / file
    path.write_bytes(path.read_bytes()[::-1] + b"!")

    with pytest.raises(StoreError, match=f"benchmark vintage 0040: {file} is absent or was changed; train it again"):
        store.verified("benchmark", 40)


def test_an_absent_file_is_refused(store: VintageStore) -> None:
    fit(store, 40)
    (store.folder / "benchmark" / "0040" / "model.txt").unlink()

    with pytest.raises(StoreError, match=r"model\.txt is absent or was changed"):
        store.verified("benchmark", 40)


def test_what_was_not_sealed_is_refused_and_leaves_the_old_vintage(store: VintageStore) -> None:
    fit(store, 40, "old")

    with pytest.raises(StoreError, match="benchmark vintage 0040: was not sealed"), store.writing("benchmark", 40) as f:
        (f / "model.txt").write_text("new")

    assert (store.verified("benchmark", 40) / "model.txt").read_text() == "old"


def test_a_fit_that_fails_leaves_no_vintage(store: VintageStore) -> None:
    with pytest.raises(ZeroDivisionError), store.writing("benchmark", 40) as folder:
        (folder / "model.txt").write_text("half")
        raise ZeroDivisionError

    assert store.vintages("benchmark") == []
    with pytest.raises(StoreError, match="benchmark: no vintage 0040"):
        store.facts("benchmark", 40)


def test_fitting_again_replaces_the_vintage(store: VintageStore) -> None:
    fit(store, 40, "old")
    fit(store, 40, "new")

    assert (store.verified("benchmark", 40) / "model.txt").read_text() == "new"
    assert store.vintages("benchmark") == [40]


def test_the_vintages_that_may_predict_an_era_are_those_before_it_newest_first(store: VintageStore) -> None:
    for vintage in (44, 40, 48):
        fit(store, vintage)
    fit(store, 46, method="other")

    before = {era: store.before("benchmark", era) for era in (40, 41, 44, 45, 999)}

    assert store.vintages("benchmark") == [40, 44, 48]
    assert before == {40: [], 41: [40], 44: [40], 45: [44, 40], 999: [48, 44, 40]}
    assert store.before("nobody", 999) == []


def test_what_each_use_saw_reads_back(store: VintageStore) -> None:
    uses = {"fit": ((4, 24, 4),), "selection": ((3, 9, 1), (20, 20, 1))}

    sealed = fit(store, 40, uses=uses)

    assert store.facts("benchmark", 40) == sealed
    assert sealed.uses == uses


@pytest.mark.parametrize(
    ("first", "last", "eras", "run"),
    [(4, 24, 6, (4, 24, 4)), (1, 24, 24, (1, 24, 1)), (24, 24, 1, (24, 24, 1)), (11, 24, 2, (11, 24, 13))],
)
def test_a_vintage_from_before_uses_were_recorded_is_read_as_the_fit_it_was(
    store: VintageStore, first: int, last: int, eras: int, run: tuple[int, int, int]
) -> None:
    fit(store, 40, first_fit_era=first, last_fit_era=last, fit_eras=eras)
    path = store.folder / "benchmark" / "0040" / "vintage.json"
    content = json.loads(path.read_text())
    del content["uses"]
    path.write_text(json.dumps(content))

    facts = store.facts("benchmark", 40)

    assert facts.uses == {"fit": (run,)}
    assert len(eras_of(facts.uses["fit"])) == eras
    assert store.holds("benchmark", 40)
