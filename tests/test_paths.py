from pathlib import Path

import pytest

from kvchat import paths


def test_directories_follow_the_settings_of_the_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("DATA", "CACHE", "CONFIG", "STATE"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(tmp_path / name))
    found = [paths.data_dir(), paths.cache_dir(), paths.settings_path(), paths.log_dir()]
    assert all("kvchat" in path.parts for path in found)
    assert len(set(found)) == 4
    assert not list(tmp_path.iterdir())


def test_the_bundled_model_of_a_checkout_lies_beside_the_package() -> None:
    package = Path(paths.__file__).parent
    assert paths.bundled_model_dir() in (package / "weights", package.parent / "weights")


def test_the_model_inside_an_installed_package_goes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paths, "__file__", str(tmp_path / "kvchat" / "paths.py"))
    assert paths.bundled_model_dir() == tmp_path / "weights"
    (tmp_path / "kvchat" / "weights").mkdir(parents=True)
    assert paths.bundled_model_dir() == tmp_path / "kvchat" / "weights"
