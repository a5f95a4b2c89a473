import stat
from dataclasses import fields
from pathlib import Path

import pytest

from kvchat.errors import InvalidArgument
from kvchat.settings import Settings, load_settings, save_setting

EVERYTHING = Settings(
    model='/models/odd "name"\\ \x7f é 😀\n',
    device="cpu",
    kernel="native",
    pool=512 << 20,
    window=0,
    sinks=64,
    temperature=0.0,
    top_k=40,
    top_p=0.9,
    min_p=0.05,
    repetition_penalty=1.1,
    max_tokens=80,
    theme="nord",
    ascii=True,
    sidebar="hidden",
    mouse=False,
    notify="osc9",
    block_panel=False,
    keys={"chat.find": ("ctrl+f", "f8"), "chat.stop": ()},
)


def test_all_settings_survive_the_way_through_the_file() -> None:
    defaults = Settings()
    for each in fields(Settings):
        assert getattr(EVERYTHING, each.name) != getattr(defaults, each.name), each.name
    assert Settings.from_toml(EVERYTHING.to_toml()) == EVERYTHING


def test_default_settings_are_an_empty_file() -> None:
    assert Settings().to_toml() == ""
    assert Settings.from_toml("") == Settings()


def test_a_missing_file_gives_the_defaults(tmp_path: Path) -> None:
    assert load_settings(tmp_path / "settings.toml") == Settings()


def test_only_what_is_set_overrides_the_sampling_of_the_model() -> None:
    assert Settings().sampling_overrides == {}
    assert Settings(temperature=0.0, top_k=3).sampling_overrides == {"temperature": 0.0, "top_k": 3}


def test_the_pool_is_a_size_with_a_unit_or_a_number_of_bytes() -> None:
    assert Settings.from_toml('pool = "512MiB"').pool == 512 << 20
    assert Settings.from_toml("pool = 1048576").pool == 1 << 20


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("themee = 'x'", "'themee' is no setting; did you mean 'theme'?"),
        ("zzz = 1", "'zzz' is no setting; known are model"),
        ("[sampling]\ntemperature = 1", "'sampling' is no setting"),
        ("device = 'tpu'", "device is 'tpu', but it must be one of auto, cpu"),
        ("device = ['cpu']", "device is"),
        ("kernel = 'fast'", "kernel is 'fast', but it must be one of auto, torch, native"),
        ("window = -1", "window is -1, but it must be an integer >= 0"),
        ("window = true", "window is True"),
        ("window = 4096.0", "window is 4096.0"),
        ("pool = '5 apples'", "'5 apples' is not a size"),
        ("temperature = nan", "temperature is nan"),
        ("top_p = 2", "top_p is 2"),
        ("top_k = 'x'", "top_k is 'x'"),
        ("ascii = 1", "ascii is 1, but it must be true or false"),
        ("model = ''", "model is ''"),
        ("keys = 3", "keys must be a table"),
        ("[keys]\n'chat.find' = 3", "'chat.find' must be a list"),
        ("[keys]\n'chat.find' = [3]", "'chat.find' must be a list"),
        ("theme = \nascii = true", "at line 1"),
        ("theme = 'a'\ntheme = 'b'\n#", "at line 2"),
    ],
)
def test_a_bad_file_is_one_clear_sentence(tmp_path: Path, text: str, why: str) -> None:
    path = tmp_path / "settings.toml"
    path.write_text(text)
    with pytest.raises(InvalidArgument) as caught:
        load_settings(path)
    assert caught.value.sentence.startswith("settings.toml: ")
    assert why in caught.value.sentence
    assert "\n" not in caught.value.sentence


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / "settings.toml").write_bytes(b"theme = '\xff'")
    with pytest.raises(InvalidArgument, match="not UTF-8"):
        load_settings(tmp_path / "settings.toml")


def test_an_empty_string_unbinds_a_command() -> None:
    settings = Settings.from_toml("[keys]\n'chat.find' = ''\n'chat.stop' = 'f9'")
    assert settings.keys == {"chat.find": (), "chat.stop": ("f9",)}


def test_saving_one_setting_leaves_every_other_line_alone(tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    path.write_text("# mine\ntheme = 'a' # nice\nwindow = 7\n\n[keys]\n'chat.find' = 'f8'\n")
    assert save_setting(path, "theme", "b").theme == "b"
    assert path.read_text() == "# mine\ntheme = \"b\"\nwindow = 7\n\n[keys]\n'chat.find' = 'f8'\n"
    save_setting(path, "ascii", True)
    assert load_settings(path) == Settings(
        theme="b", window=7, ascii=True, keys={"chat.find": ("f8",)}
    )
    save_setting(path, "theme", None)
    assert load_settings(path).theme is None
    assert path.read_text().startswith("# mine\nwindow = 7\n")


def test_the_first_saved_setting_makes_a_private_file(tmp_path: Path) -> None:
    path = tmp_path / "new" / "settings.toml"
    save_setting(path, "sidebar", "shown")
    assert path.read_text() == 'sidebar = "shown"\n'
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_bad_value_is_not_saved(tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    path.write_text("window = 7")
    with pytest.raises(InvalidArgument):
        save_setting(path, "window", -1)
    with pytest.raises(InvalidArgument):
        save_setting(path, "windows", 1)
    assert path.read_text() == "window = 7"
    save_setting(path, "sinks", 3)
    assert path.read_text() == "window = 7\nsinks = 3\n"
