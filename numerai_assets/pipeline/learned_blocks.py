"""Learned feature blocks: fitted once per vintage on what lies before its wall."""

from numerai_assets.eras import Wall, era_label, horizon_of
from numerai_assets.errors import FeatureError
from numerai_assets.features.contract import FittedBlock, features_of
from numerai_assets.features.registry import create_fitted_block
from numerai_assets.panel.panel import reads_of
from numerai_assets.pipeline.block_columns import BlockWriter, fitted_with, with_history
from numerai_assets.pipeline.workspace import Workspace
from numerai_assets.progress import Progress
from numerai_assets.store.eras_used import recorded
from numerai_assets.store.vintage_store import Vintage, seal


def fit_block(workspace: Workspace, name: str, vintage: int, progress: Progress) -> tuple[Vintage, FittedBlock]:
    """Fits a learned block on what is before the vintage's wall and keeps it."""
    settings = workspace.settings.features[name]
    block = create_fitted_block(name, settings.parameters)
    if settings.device != "cpu":
        if not hasattr(block, "device"):
            raise FeatureError(f'{name}: trains no net; set features.{name}.device = "cpu"')
        block.device = settings.device
    names = features_of(BlockWriter(workspace).feature_sets, settings.feature_set)
    wall = Wall(vintage, horizon_of(settings.target))
    panel = workspace.store.fit_panel(wall, target=settings.target, features=names)
    wall.check_fit(panel.eras)
    made_with = fitted_with(workspace, name)
    panel = with_history(workspace, panel, list(map(era_label, panel.eras)), reads_of(block), made_with["reads"])
    with workspace.fitted_blocks.writing(name, vintage) as folder:
        block.fit(panel, target=settings.target, seed=settings.seed, progress=progress).save(folder)
        facts = seal(
            folder,
            method=name,
            vintage=vintage,
            first_fit_era=panel.eras[0],
            last_fit_era=panel.eras[-1],
            fit_eras=len(panel.eras),
            rows=panel.rows,
            features=len(panel.feature_names),
            uses=recorded({"fit": panel.eras}),
            **made_with,
        )
    return facts, block
