"""Settings from the file and the environment, and what a user is told about a mistake."""

from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import ValidationError

from numerai_assets.errors import SettingsError
from numerai_assets.settings import MethodSettings, Settings, load_settings, settings_file

WriteSettings = Callable[[str], Path]


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No numerai.toml of the machine is found."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def write_settings(tmp_path: Path) -> WriteSettings:
    """Writes numerai.toml into the working folder."""

    def write(text: str) -> Path:
        path = tmp_path / "numerai.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_without_file_and_environment_nobody_real_is_talked_to() -> None:
    settings = load_settings()

    assert settings_file() is None
    assert settings.tournament == "sandbox"
    assert settings.slots == {}
    assert settings.methods["benchmark"].target == "target_ender_60"
    assert settings.release.increments
    assert settings.retrain.every_eras == 4
    assert settings.retrain.history_every_eras == 52
    assert settings.retrain.first_vintage is None


def test_the_file_in_the_working_folder_is_read(write_settings: WriteSettings) -> None:
    write_settings(
        """
        tournament = "numerai"
        home = "elsewhere"
        [slots]
        first = "benchmark"
        second = "benchmark"
        [retrain]
        every_eras = 2
        [methods.benchmark]
        target = "target_jasper_20"
        parameters = { n_estimators = 7, learning_rate = 0.5 }
        """
    )

    settings = load_settings()

    assert settings.tournament == "numerai"
    assert settings.home == Path("elsewhere")
    assert settings.slots == {"first": "benchmark", "second": "benchmark"}
    assert settings.active_methods == ["benchmark"]
    assert settings.retrain.every_eras == 2
    assert settings.methods["benchmark"].target == "target_jasper_20"
    assert settings.methods["benchmark"].parameters == {"n_estimators": 7, "learning_rate": 0.5}


def test_the_variable_names_another_file(
    write_settings: WriteSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_settings('data_version = "v1"')
    (tmp_path / "other.toml").write_text('data_version = "v2"', encoding="utf-8")
    monkeypatch.setenv("NUMERAI_SETTINGS", str(tmp_path / "other.toml"))

    assert load_settings().data_version == "v2"


def test_a_named_file_that_does_not_exist_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMERAI_SETTINGS", "nowhere.toml")

    with pytest.raises(SettingsError, match=r"NUMERAI_SETTINGS=nowhere\.toml: no such file"):
        load_settings()


def test_the_environment_wins_over_the_file_and_arguments_over_both(
    write_settings: WriteSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_settings('data_version = "v1"\nhome = "a"\n[sandbox]\nseed = 1\nport = 1111')
    monkeypatch.setenv("NUMERAI_DATA_VERSION", "v2")
    monkeypatch.setenv("NUMERAI_SANDBOX__SEED", "2")
    monkeypatch.setenv("NUMERAI_SLOTS__MINE", "benchmark")

    settings = load_settings(data_version="v3")

    assert settings.data_version == "v3"
    assert settings.home == Path("a")
    assert (settings.sandbox.seed, settings.sandbox.port) == (2, 1111)
    assert settings.slots == {"mine": "benchmark"}


@pytest.mark.parametrize(
    ("text", "key", "meant"),
    [
        ('tournamnet = "sandbox"', "tournamnet", "tournament"),
        ("[retrian]\nevery_eras = 4", "retrian", "retrain"),
        ("[retrain]\nevery_era = 4", "retrain.every_era", "every_eras"),
        ("[sandbox]\nprot = 8000", "sandbox.prot", "port"),
        ('[cleaning]\nmising = "mean"', "cleaning.mising", "missing"),
    ],
)
def test_a_misspelt_key_is_named_with_what_was_meant(
    write_settings: WriteSettings, text: str, key: str, meant: str
) -> None:
    path = write_settings(text)

    with pytest.raises(SettingsError) as caught:
        load_settings()

    assert f"{path.name}: unknown setting {key}; did you mean {meant}?" in str(caught.value)


def test_a_misspelt_key_of_a_method_is_named_with_what_was_meant(write_settings: WriteSettings) -> None:
    write_settings('[methods.benchmark]\nprofil = "full"')

    with pytest.raises(SettingsError, match=r"unknown setting methods\.benchmark\.profil; did you mean profile\?"):
        load_settings()


def test_a_key_like_no_other_is_answered_with_those_there_are(write_settings: WriteSettings) -> None:
    write_settings("[cleaning]\nzzz = 1")

    with pytest.raises(SettingsError, match=r"unknown setting cleaning\.zzz; expected one of missing"):
        load_settings()


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("NUMERAI_TOURNAMNET", "NUMERAI_TOURNAMENT"),
        ("NUMERAI_RETRAIN__EVERY_ERA", "NUMERAI_RETRAIN__EVERY_ERAS"),
        ("NUMERAI_SANDBOX_SEED", "NUMERAI_SANDBOX__SEED"),
    ],
)
def test_a_misspelt_variable_is_named_with_what_was_meant(
    monkeypatch: pytest.MonkeyPatch, name: str, meant: str
) -> None:
    monkeypatch.setenv(name, "1")

    with pytest.raises(SettingsError, match=rf"unknown setting {name} \(environment\); did you mean {meant}"):
        load_settings()


@pytest.mark.parametrize("name", ["NUMERAI_PUBLIC_ID", "NUMERAI_SECRET_KEY", "NUMERAI_COMPUTE_ID"])
def test_variables_of_numerapi_are_left_alone(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "value")

    load_settings()


@pytest.mark.parametrize(
    "text",
    [
        'secret_key = "hush"',
        'public_id = "hush"',
        'NUMERAI_SECRET_KEY = "hush"',
        'NUMERAI_PUBLIC_ID = "hush"',
        '[network]\nsecret_key = "hush"',
        '[methods.benchmark]\npublic_id = "hush"',
    ],
)
def test_keys_in_the_file_are_refused_and_sent_to_the_environment(write_settings: WriteSettings, text: str) -> None:
    write_settings(text)

    with pytest.raises(SettingsError, match="API keys belong in the environment") as caught:
        load_settings()

    assert "NUMERAI_PUBLIC_ID, NUMERAI_SECRET_KEY" in str(caught.value)
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "key", "found"),
    [
        ('tournament = "signals"', "tournament", "'signals'"),
        ("[retrain]\nevery_eras = 0", "retrain.every_eras", "0"),
        ("[retrain]\nfirst_vintage = 0", "retrain.first_vintage", "0"),
        ('[cleaning]\nmissing = "zero"', "cleaning.missing", "'zero'"),
        ("[sandbox]\nport = 70000", "sandbox.port", "70000"),
        ("[network]\ntimeout_seconds = -1", "network.timeout_seconds", "-1"),
        ('[methods.benchmark]\ntarget = "target"', "methods.benchmark.target", "'target'"),
        ("[methods.benchmark]\nseed = -1", "methods.benchmark.seed", "-1"),
    ],
)
def test_a_bad_value_is_shown_with_its_key_and_file(
    write_settings: WriteSettings, text: str, key: str, found: str
) -> None:
    path = write_settings(text)

    with pytest.raises(SettingsError) as caught:
        load_settings()

    assert str(caught.value).startswith(f"{path.name}: {key}: ")
    assert f"(found {found})" in str(caught.value)


def test_a_bad_value_of_the_environment_is_shown_with_its_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMERAI_SANDBOX__PORT", "many")

    with pytest.raises(SettingsError, match=r"sandbox\.port: .*\(found 'many'\)"):
        load_settings()


def test_every_mistake_is_told_at_once(write_settings: WriteSettings) -> None:
    write_settings('tournament = "signals"\n[sandbox]\nport = 0')

    with pytest.raises(SettingsError) as caught:
        load_settings()

    assert "tournament: " in str(caught.value)
    assert "sandbox.port: " in str(caught.value)


def test_a_file_that_is_no_toml_is_named(write_settings: WriteSettings) -> None:
    path = write_settings("tournament = ")

    with pytest.raises(SettingsError, match=f"{path.name}: not valid TOML"):
        load_settings()


def test_history_must_lie_on_the_live_grid(write_settings: WriteSettings) -> None:
    write_settings("[retrain]\nevery_eras = 4\nhistory_every_eras = 50")

    with pytest.raises(SettingsError, match=r"retrain: history_every_eras \(50\) must be a multiple"):
        load_settings()


def test_a_slot_must_name_a_method_of_the_settings(write_settings: WriteSettings) -> None:
    write_settings('[slots]\nmine = "benchmrk"')

    with pytest.raises(SettingsError, match=r"slots\.mine: no \[methods\.benchmrk\].*did you mean benchmark\?"):
        load_settings()


def test_prices_need_a_panel(write_settings: WriteSettings) -> None:
    write_settings('[sandbox]\nmarket = "prices"')

    with pytest.raises(SettingsError, match="needs the path of a daily price panel"):
        load_settings()


def test_dials_enter_the_name_of_the_world_unless_they_stand_at_their_defaults(write_settings: WriteSettings) -> None:
    write_settings("[sandbox]\nseed = 3\n[sandbox.dials]\neffects = 0.02\nspillover = 0.05\nregimes = 0")
    assert load_settings().workspace.name == "sandbox-synthetic-default-seed3-regimes0.0-spillover0.05"
    write_settings("[sandbox.dials]\neffects = 0.02\nspillover = 0.01")
    assert load_settings().workspace.name == "sandbox-synthetic-default"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[sandbox.dials]\nspilover = 0.1", r"unknown setting sandbox\.dials\.spilover; did you mean spillover\?"),
        ("[sandbox.dials]\ninteractions = 1.5", r"sandbox\.dials\.interactions: .*less than or equal to 1"),
        ('[sandbox]\nmarket = "prices"\nprices = "p"\ndials.drift = 0', "market 'prices' has no dials"),
        ("[sandbox]\nmodels = []", r"sandbox\.models: .*at least 1 item"),
        ('[sandbox]\nmodels = ["one", "one"]', r"sandbox\.models: every model needs a name of its own"),
        ('[sandbox]\nmodels = ["one two"]', r"sandbox\.models\.0: .*should match pattern"),
    ],
)
def test_a_wrong_dial_or_model_of_the_sandbox_is_refused(
    write_settings: WriteSettings, content: str, message: str
) -> None:
    write_settings(content)

    with pytest.raises(SettingsError, match=message):
        load_settings()


def test_tournaments_and_markets_never_share_a_workspace() -> None:
    kinds = [
        {"tournament": "numerai"},
        {"sandbox": {"dials": {"drift": 0.0}}},
        *(
            {"sandbox": {"market": market, "size": size, "prices": "panel.parquet"}}
            for market in ("synthetic", "prices")
            for size in ("tiny", "default")
        ),
    ]

    folders = [load_settings(**kind).workspace for kind in kinds]

    assert len(set(folders)) == len(folders)
    assert not any(a in b.parents for a in folders for b in folders)


def test_the_real_workspace_does_not_move_with_the_sandbox() -> None:
    plain = load_settings(tournament="numerai")
    other = load_settings(tournament="numerai", sandbox={"size": "tiny", "seed": 5})

    assert plain.workspace == other.workspace


def test_no_secret_stands_in_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMERAI_PUBLIC_ID", "hush-public")
    monkeypatch.setenv("NUMERAI_SECRET_KEY", "hush-secret")

    settings = load_settings()

    assert "hush" not in repr(settings) + str(settings.model_dump()) + settings.model_dump_json()


def test_settings_cannot_be_changed_after_they_are_read() -> None:
    settings = load_settings()

    with pytest.raises(ValidationError):
        settings.tournament = "numerai"  # type: ignore[misc]
    assert isinstance(settings, Settings)


@pytest.mark.parametrize("compute", ["dask", "dask://host", "tcp://host:1", "dask://host:1/", ""])
def test_an_address_that_is_no_cluster_is_refused(compute: str) -> None:
    with pytest.raises(ValidationError, match="compute"):
        MethodSettings(compute=compute)
