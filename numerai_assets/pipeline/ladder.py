"""The ladder of fallbacks: which predictions a slot submits to a round when the best are not available.

fresh vintage -> newest vintage -> older vintage -> blend of the other methods -> the model of the last round. Each rung
is predicted, held against Numerai's rules and the quality gate, and left for the next one when it fails. Whatever rung
it is, the rows are those of this round: a file of another round is never reached for.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from numpy.typing import NDArray

from numerai_assets.eras import PAYOUT_TARGET, era_label
from numerai_assets.errors import NumeraiAssetsError, SubmissionError
from numerai_assets.evaluation.gate import Finding, bin_shares, judge
from numerai_assets.methods.contract import rank_within_eras
from numerai_assets.panel.panel import EraPanel
from numerai_assets.pipeline.predictions import live_panel, live_prediction
from numerai_assets.pipeline.vintages import is_current
from numerai_assets.pipeline.workspace import Workspace
from numerai_assets.tournament.receipt import Entry, Model, RejectedCandidate, Step
from numerai_assets.tournament.release import LIVE_BENCHMARKS, benchmark_column
from numerai_assets.tournament.submission import check_predictions

_OLDER_VINTAGES = 3
_USUAL_ERAS = 8


class Rung(StrEnum):
    """Rungs of the ladder, best first."""

    FRESH = "fresh vintage"
    NEWEST = "newest vintage"
    OLDER = "older vintage"
    BLEND = "blend of the other methods"
    PREVIOUS = "model of the last round"


@dataclass(frozen=True)
class Candidate:
    """A possible submission: the predictions of one model, or the mean ranks of several."""

    rung: Rung
    members: tuple[Model, ...]

    def refused(self, reason: str) -> RejectedCandidate:
        """The record of why it was not submitted."""
        return RejectedCandidate(self.rung.value, self.members, reason)


def candidates(workspace: Workspace, slot: str, number: int) -> Iterator[Candidate]:
    """Possible submissions of the slot to the round, best first."""
    method, era = workspace.settings.slots[slot], workspace.round(number).era
    held = workspace.vintages.before(method, era)
    for place, vintage in enumerate(held[: 1 + _OLDER_VINTAGES]):
        newest = Rung.FRESH if is_fresh(workspace, method, vintage, era) else Rung.NEWEST
        yield Candidate(newest if place == 0 else Rung.OLDER, ((method, vintage),))
    newest_of_others = [
        (other, vintages[0])
        for other in workspace.settings.active_methods
        if other != method and (vintages := workspace.vintages.before(other, era))
    ]
    # With one other method the blend would be a copy, and the second of the two slots would be refused as a duplicate.
    if len(newest_of_others) > 1:
        yield Candidate(Rung.BLEND, tuple(newest_of_others))
    earlier = [r for r in workspace.desk.receipts() if r.slot == slot and r.round_number < number]
    last = next((r for r in reversed(earlier) if r.step is Step.PROVEN), None)
    if (
        last is not None
        and workspace.vintages.holds(last.method, last.vintage)
        and (last.method, last.vintage) not in {(method, vintage) for vintage in held[: 1 + _OLDER_VINTAGES]}
    ):
        yield Candidate(Rung.PREVIOUS, ((last.method, last.vintage),))


def is_fresh(workspace: Workspace, method: str, vintage: int, era: int) -> bool:
    """True for the vintage that the retrain policy asks for in rounds of `era`, trained with the current settings."""
    is_due = vintage >= era - workspace.settings.retrain.every_eras
    return is_due and is_current(workspace.vintages, method, vintage, workspace.specs.method(method))


class Ladder:
    """The ladder of one slot and round."""

    def __init__(self, workspace: Workspace, slot: str, number: int) -> None:
        self._workspace = workspace
        self._slot = slot
        self._number = number

    def climb_down(self) -> tuple[Entry, list[Finding]]:
        """The best entry that passes every rule, with the findings about it.

        Raises SubmissionError, saying of each rung what was wrong with it, when none does.
        """
        refused: list[RejectedCandidate] = []
        for candidate in candidates(self._workspace, self._slot, self._number):
            try:
                prediction = self._predict(candidate)
                frame = pd.DataFrame({"id": self._live.ids, "prediction": prediction})
                check_predictions(frame, list(self._live.ids), f"round {self._number}, {self._slot}")
                findings = self._judged(candidate, prediction)
            except Exception as error:  # noqa: BLE001 - one broken model must not cost the round; the reason is recorded
                refused.append(candidate.refused(f"{type(error).__name__}: {error}"))
                continue
            if bad := [str(finding) for finding in findings if not finding.is_well]:
                refused.append(candidate.refused("; ".join(bad)))
                continue
            method = "+".join(method for method, _ in candidate.members)
            vintage = max(vintage for _, vintage in candidate.members)
            return Entry(frame, method, vintage, candidate.rung.value, tuple(refused)), findings
        reasons = "; ".join(map(str, refused)) or "no vintage is stored"
        raise SubmissionError(f"round {self._number}, {self._slot}: nothing to submit. {reasons}")

    def _predict(self, candidate: Candidate) -> NDArray[np.float32]:
        parts = [live_prediction(self._workspace, *member, self._number) for member in candidate.members]
        if len(parts) == 1:
            return parts[0]
        return rank_within_eras(np.mean(parts, axis=0), self._live.rows_of_era)

    def _judged(self, candidate: Candidate, prediction: NDArray[np.float32]) -> list[Finding]:
        return judge(
            prediction,
            self._workspace.settings.gate,
            previous=self._of_vintage_before(candidate),
            benchmark=self._benchmark,
            slots=self._other_slots(),
            features=self._live.features,
            usual_shares=self._usual_shares,
        )

    def _of_vintage_before(self, candidate: Candidate) -> NDArray[np.float32] | None:
        """Predictions of the vintage before; None for a blend and for the first vintage."""
        if len(candidate.members) > 1:
            return None
        ((method, vintage),) = candidate.members
        for earlier in self._workspace.vintages.before(method, vintage)[:_OLDER_VINTAGES]:
            try:
                return live_prediction(self._workspace, method, earlier, self._number)
            except NumeraiAssetsError:
                # A damaged vintage is no reference. It is reported when its own turn comes.
                continue
        return None

    def _other_slots(self) -> dict[str, NDArray[np.floating]]:
        desk = self._workspace.desk
        found: dict[str, NDArray[np.floating]] = {}
        for slot in self._workspace.settings.slots:
            receipt = desk.receipt(self._number, slot) if slot != self._slot else None
            if receipt is not None and receipt.reached(Step.UPLOADED):
                found[slot] = desk.predictions(receipt).reindex(self._live.ids).to_numpy(np.float64)
        return found

    @cached_property
    def _live(self) -> EraPanel:
        return live_panel(self._workspace.store, self._number)

    @cached_property
    def _benchmark(self) -> NDArray[np.float64] | None:
        """Numerai's benchmark of the payout target on the live rows; None where its file is missing."""
        release = self._workspace.round_release(self._number)
        if release.manifest(LIVE_BENCHMARKS) is None:
            return None
        table = pq.read_table(release.path(LIVE_BENCHMARKS)).to_pandas()
        frame = table if table.index.name == "id" else table.set_index("id")
        column = benchmark_column(frame.columns, PAYOUT_TARGET)
        if column is None or not set(self._live.ids) <= set(frame.index):
            return None
        values: NDArray[np.float64] = frame[column].reindex(self._live.ids).to_numpy(np.float64)
        return values

    @cached_property
    def _usual_shares(self) -> NDArray[np.float64]:
        """(d, 5) bin shares over the newest stored eras."""
        store = self._workspace.store
        eras = [era_label(era) for era in store.eras()[-_USUAL_ERAS:]]
        shares = [bin_shares(era.features) for era in store.panel(eras).each_era()]
        return np.asarray(np.mean(shares, axis=0))
