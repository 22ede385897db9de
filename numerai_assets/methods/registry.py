"""The registered methods. Adding one is a module and a line here, or `source = "module:Class"` in its settings."""

import importlib

from numerai_assets.errors import MethodError
from numerai_assets.methods.contract import Method
from numerai_assets.settings import MethodSettings

# Named, not imported: the definitions of the assets load without LightGBM or PyTorch.
METHODS: dict[str, str] = {
    "benchmark": "numerai_assets.methods.benchmark:Benchmark",
    "external_boosting": "numerai_assets.methods.external_boosting:ExternalBoosting",
    "mixer_boosting": "numerai_assets.methods.mixer_boosting.estimator:MixerBoosting",
    "momentum_ensemble": "numerai_assets.methods.momentum_ensemble.estimator:MomentumEnsemble",
}


def method_class(name: str, source: str | None = None) -> type[Method]:
    """The class of a method. source: a registered name or "module:Class"; None for the method registered as `name`.

    Raises MethodError, listing the registered methods, for an unknown one, and for a class that cannot be imported.
    """
    wanted = source or name
    place = wanted if ":" in wanted else METHODS.get(wanted)
    if place is None:
        raise MethodError(f"method {wanted!r} is unknown; there are {', '.join(sorted(METHODS))}")
    module, _, attribute = place.partition(":")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise MethodError(f"methods.{name}.source: {place} cannot be imported: {error}") from error
    if not (isinstance(found, type) and issubclass(found, Method)):
        raise MethodError(f"methods.{name}.source: {place} is not a subclass of numerai_assets.Method")
    return found


def create_method(name: str, settings: MethodSettings) -> Method:
    """An unfitted estimator as the settings ask for it. Raises MethodError when it cannot be trained where they say."""
    method = method_class(name, settings.source).of_profile(settings.profile, **settings.parameters)
    unused = settings.execution.beyond(method.honours)
    if unused:
        raise MethodError(f"methods.{name}.{unused[0]}: {name} cannot use it; leave it at its default")
    method.execution = settings.execution
    return method
