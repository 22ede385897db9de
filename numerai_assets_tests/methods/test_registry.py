"""Methods as the settings ask for them: with the parameters of their profile, trained where the settings say."""

import pytest

from numerai_assets.errors import MethodError
from numerai_assets.methods.registry import create_method
from numerai_assets.settings import MethodSettings
from numerai_assets_tests.methods.plain_method import PlainMethod

CLUSTER = "dask://127.0.0.1:8786"


def test_a_method_is_trained_where_the_settings_say() -> None:
    method = create_method("benchmark", MethodSettings(compute=CLUSTER, threads=3))

    assert (method.execution.compute, method.execution.threads) == (CLUSTER, 3)
    assert method.get_params() == create_method("benchmark", MethodSettings()).get_params()


def test_a_method_that_trains_on_this_machine_only_refuses_a_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("numerai_assets.methods.registry.method_class", lambda *asked: PlainMethod)

    with pytest.raises(MethodError, match=r"methods\.plain\.compute: plain cannot use it; leave it at its default"):
        create_method("plain", MethodSettings(compute=CLUSTER))


@pytest.mark.parametrize("source", ["numerai_assets.methods.rank_blend:learned_weights", "numerai_assets.errors:None"])
def test_a_source_that_is_no_method_is_refused_by_name(source: str) -> None:
    with pytest.raises(MethodError, match=f"methods.mine.source: {source} (cannot be imported|is not a subclass)"):
        create_method("mine", MethodSettings(source=source))
