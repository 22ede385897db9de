"""The methods there are. Adding one is a module and a line here."""

import importlib

from numerai_assets.errors import MethodError
from numerai_assets.methods.contract import Method
from numerai_assets.settings import MethodSettings
from numerai_assets.trees.cluster import LOCAL

# Named, not imported: the definitions of the assets load without LightGBM or PyTorch.
METHODS: dict[str, str] = {
    "benchmark": "numerai_assets.methods.benchmark:Benchmark",
    "external_boosting": "numerai_assets.methods.external_boosting:ExternalBoosting",
    "mixer_boosting": "numerai_assets.methods.mixer_boosting.estimator:MixerBoosting",
    "momentum_ensemble": "numerai_assets.methods.momentum_ensemble.estimator:MomentumEnsemble",
}


def method_class(name: str) -> type[Method]:
    """Raises MethodError, listing what there is, for an unknown method."""
    if name not in METHODS:
        raise MethodError(f"method {name!r} is unknown; there are {', '.join(sorted(METHODS))}")
    module, _, attribute = METHODS[name].partition(":")
    found: type[Method] = getattr(importlib.import_module(module), attribute)
    return found


def create_method(name: str, settings: MethodSettings) -> Method:
    """An unfitted estimator as the settings ask for it. Raises MethodError when it cannot be trained where they say."""
    method = method_class(name).of_profile(settings.profile, **settings.parameters)
    if settings.compute != LOCAL:
        if not hasattr(method, "compute"):
            raise MethodError(f"{name}: trains on this machine only; methods.{name}.compute is {settings.compute!r}")
        method.compute = settings.compute
    return method
