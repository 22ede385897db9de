"""Writes releases from the world's folder: only what Numerai would publish, as of the newest era."""

import shutil
from collections.abc import Iterator
from pathlib import Path

from numerai_assets.eras import era_label, resolved_through
from numerai_assets.sandbox.published import release_writer as writer
from numerai_assets.sandbox.published.files import link_or_copy, whole_folder
from numerai_assets.sandbox.published.release_writer import Rows, Scores
from numerai_assets.sandbox.published.sizes import FIRST_VALIDATION_ERA, Size, data_type_of
from numerai_assets.sandbox.world.era_files import EraFiles, era_files


class Publisher:
    """Writes releases of the world in `directory` as of `newest_era`.

    Files that several releases share are written once, under published/, and hard-linked: training files always,
    validation files as long as the era is the newest.
    """

    def __init__(self, directory: Path, feature_names: tuple[str, ...], size: Size, newest_era: int) -> None:
        self._directory = directory
        self._feature_names = feature_names
        self._size = size
        self._newest_era = newest_era

    def write(self, directory: Path, live: EraFiles) -> None:
        """Write the twelve files into directory/"v5.3", complete or not at all; live: the rows of the round."""
        shared = (*self._fixed_files(), *self._weekly_files())
        with whole_folder(directory / writer.VERSION) as aside:
            for path in shared:
                link_or_copy(path, aside / path.name)
            self.write_live(aside, live)

    def write_live(self, folder: Path, live: EraFiles) -> None:
        """Write only the live files into an existing folder."""
        writer.write_live(folder, self._feature_names, live.rows()["ids"], live.features(), live.predictions())

    def _fixed_files(self) -> list[Path]:
        folder = self._directory / "published" / "train"
        if not folder.exists():
            eras = range(self._size.first_era, FIRST_VALIDATION_ERA)
            with whole_folder(folder) as aside:
                writer.write_rows(
                    aside / writer.TRAIN, self._rows(eras), self._feature_names, self._size.rows_per_group
                )
                writer.write_benchmarks(aside / writer.TRAIN_BENCHMARK, self._scores(eras))
        return [self._directory / writer.FEATURES_JSON, *sorted(folder.iterdir())]

    def _weekly_files(self) -> list[Path]:
        folder = self._directory / "published" / f"week_{self._newest_era:04d}"
        if not folder.exists():
            eras = range(FIRST_VALIDATION_ERA, self._newest_era + 1)
            with whole_folder(folder) as aside:
                writer.write_rows(
                    aside / writer.VALIDATION, self._rows(eras), self._feature_names, self._size.rows_per_group
                )
                scores = list(self._scores(eras))
                writer.write_benchmarks(aside / writer.VALIDATION_BENCHMARK, scores)
                writer.write_example(aside, writer.VALIDATION_EXAMPLE, [block.example() for block in scores])
                first = era_label(self._size.meta_model_from)
                last = era_label(resolved_through(self._newest_era, 60))
                writer.write_meta_model(aside / writer.META, [block for block in scores if first <= block.era <= last])
            for old in folder.parent.glob("week_*"):
                if old != folder:
                    shutil.rmtree(old)
        return sorted(folder.iterdir())

    def _rows(self, eras: range) -> Iterator[Rows]:
        for era in eras:
            files = era_files(self._directory, era)
            targets = files.all_targets(era, self._newest_era)
            yield Rows(era_label(era), self._data_type(era), files.rows()["ids"], files.features(), targets)

    def _scores(self, eras: range) -> Iterator[Scores]:
        for era in eras:
            files = era_files(self._directory, era)
            if files.has_predictions():
                yield Scores.of(era_label(era), self._data_type(era), files.rows()["ids"], files.predictions())

    def _data_type(self, era: int) -> str:
        return data_type_of(era, self._newest_era)
