"""The public face: quick to import, complete, and used as docs/library.md shows it."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import numerai_assets
from numerai_assets.store.era_store import EraStore
from numerai_assets_tests.conftest import MakePanel

PAGE = Path(__file__).parents[1] / "docs" / "library.md"
TARGET = "target_ender_60"


def test_importing_the_package_imports_no_library() -> None:
    program = "import sys; import numerai_assets; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert {"numpy", "pandas", "pydantic", "dagster", "torch", "lightgbm"} & set(loaded) == set()
    assert [name for name in loaded if name.startswith("numerai_assets.")] == []


def test_asking_for_every_name_imports_neither_dagster_nor_torch_nor_lightgbm() -> None:
    program = "import sys; from numerai_assets import *; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert {"dagster", "torch", "lightgbm"} & set(loaded) == set()


def test_every_public_name_is_there_and_listed() -> None:
    assert set(numerai_assets.__all__) == set(numerai_assets._ROOM_OF)
    assert all(getattr(numerai_assets, name) is not None for name in numerai_assets.__all__)
    assert set(numerai_assets.__all__) <= set(dir(numerai_assets))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        numerai_assets.nothing  # noqa: B018


def test_the_program_of_the_library_page_finds_the_signal_of_a_small_store(
    make_panel: MakePanel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "numerai.toml").write_text("")
    monkeypatch.chdir(tmp_path)
    store = EraStore(numerai_assets.Workspace(numerai_assets.load_settings()).store.folder)
    for era in make_panel(list(range(1, 91))).each_era():
        (number,) = era.eras
        store.write_era(
            numerai_assets.era_label(number),
            era=number,
            ids=era.ids.tolist(),
            features=np.asarray(era.features),
            feature_names=era.feature_names,
            targets=pd.DataFrame({TARGET: era.target(TARGET)}),
            targets_as_of=90,
        )
        store.clean_as_released(numerai_assets.era_label(number), strategy="median")
    (program,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len([line for line in program.splitlines() if line]) == 10

    exec(program, {})

    score, eras = re.fullmatch(r"CORR (\S+) in eras (\S+)\n", capsys.readouterr().out).groups()  # type: ignore[union-attr]
    assert float(score) > 0.5
    assert eras == "0051-0074"
