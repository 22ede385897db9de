"""The pipeline and a sandbox of its own, as the end-to-end tests drive them."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import dagster as dg

from numerai_assets.automation.conductor import Done, conduct
from numerai_assets.definitions import build_definitions
from numerai_assets.methods.benchmark import Benchmark
from numerai_assets.pipeline.workspace import Workspace
from numerai_assets.sandbox.server import process
from numerai_assets.settings import Settings
from numerai_assets.tournament.client import Round


class SecondMethod(Benchmark):
    """A method beside the benchmark, to be registered by a test that needs two."""

    name: ClassVar[str] = "second"


@dataclass
class Rehearsal:
    """A workspace with its own sandbox and Dagster history."""

    settings: Settings
    workspace: Workspace
    definitions: dg.Definitions
    instance: dg.DagsterInstance
    world: Path

    @classmethod
    def over(cls, settings: Settings, world: Path) -> "Rehearsal":
        """The pipeline as these settings make it, with a Dagster history that is kept in memory."""
        instance = dg.DagsterInstance.ephemeral()
        return cls(settings, Workspace(settings), build_definitions(settings), instance, world)

    def weekly(self) -> tuple[Round | None, list[Done]]:
        """What `numerai weekly` does."""
        return conduct(self.definitions, self.workspace, self.instance)

    def advance(self, to: str = "next-round") -> process.Status:
        """Moves the sandbox's time on."""
        return process.advance(self.world, to)

    def to_next_weekend(self) -> None:
        """Moves on to the opening of the next weekend round, through the weekday rounds between."""
        while (now := self.advance().now) is None or now.weekday() != 5:
            continue


NewRehearsal = Callable[..., Rehearsal]
