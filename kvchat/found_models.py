"""Which models this machine has, and which of them a name means.

Three places are looked at: the bundled model, kvchat's own models folder, where `kvchat models
pull` puts them, and the cache that the Hugging Face hub's programs share. Nothing is opened here;
whether a folder is usable is the question of `ModelFolder`.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from kvchat import paths
from kvchat.errors import ModelError
from kvchat.model.hub_cache import cached_snapshots, hub_cache_dir

Place = Literal["bundled", "own", "hub"]
BUNDLED = "bundled"
"""The name of the model that comes with kvchat."""
MAX_OWN_MODELS = 1000
MAX_SHOWN_NAMES = 12


@dataclass(frozen=True, slots=True)
class FoundModel:
    """A folder that may hold a model, and the name by which `--model` finds it.

    A name is ORG/NAME or NAME, and ends in @REVISION where it is not what the repository's main
    branch means.
    """

    name: str
    place: Place
    path: Path


def find_models(data_dir: Path | None = None) -> list[FoundModel]:
    """Return all models there are, in the order in which a name is looked for.

    Those below `data_dir`, if it is given, come before kvchat's usual ones, and hide those of the
    same name.
    """
    found = [FoundModel(BUNDLED, "bundled", paths.bundled_model_dir())]
    first = [] if data_dir is None else list(_own_models(paths.models_dir(data_dir)))
    names = {each.name for each in first}
    found += first
    found += [each for each in _own_models(paths.models_dir()) if each.name not in names]
    for snapshot in cached_snapshots(hub_cache_dir()):
        name = snapshot.repository
        if not snapshot.is_main:
            revision = snapshot.refs[0] if snapshot.refs else snapshot.commit[:12]
            name = f"{name}@{revision}"
        found.append(FoundModel(name, "hub", snapshot.path))
    return found


def resolve_model(name: str | Path, data_dir: Path | None = None) -> Path:
    """Return the folder that `--model` means: a path, or the name of a model that was found.

    A folder of that name wins; then ORG/NAME, NAME alone if only one organization has it, both
    also with @REVISION; `data_dir` as in `find_models`. What looks like a path is returned as it
    is, for `ModelFolder` to judge.
    Raises ModelError where several models have the name, or none.
    """
    path = Path(os.path.expanduser(name))
    text = str(name)
    is_path = isinstance(name, Path) or text.startswith(("/", ".", "~")) or os.sep * 2 in text
    if is_path or text.count("/") > 1 or os.path.lexists(path):
        return path
    models = find_models(data_dir)
    exact = [each for each in models if each.name == text]
    if exact:
        return exact[0].path
    same = {each.name: each for each in reversed(models) if each.name.rpartition("/")[2] == text}
    if len(same) == 1:
        return next(iter(same.values())).path
    if same:
        raise ModelError(f"Several models are called {_quoted(text)}: {_listed(sorted(same))}.")
    hint = "kvchat models lists those there are"
    if "/" in text:
        hint += f", and kvchat models pull {text} downloads it" if text.isprintable() else ""
    raise ModelError(f"There is no folder and no model {_quoted(text)}; {hint}.")


def _own_models(folder: Path) -> Iterator[FoundModel]:
    """Yield the folders NAME and ORG/NAME of kvchat's models folder that hold something."""
    count = 0
    for first in _folders(folder):
        inner = [first] if (first / "config.json").is_file() else _folders(first)
        for path in inner:
            count += 1
            if count > MAX_OWN_MODELS:
                return
            yield FoundModel(path.relative_to(folder).as_posix(), "own", path)


def _folders(path: Path) -> list[Path]:
    try:
        with os.scandir(path) as entries:
            names = [entry.name for entry in entries if entry.is_dir()]
    except OSError:
        return []
    return [path / name for name in sorted(names)[:MAX_OWN_MODELS] if not name.startswith(".")]


def _quoted(text: str) -> str:
    return ascii(text if len(text) <= 80 else text[:77] + "...")


def _listed(names: list[str]) -> str:
    shown = ", ".join(names[:MAX_SHOWN_NAMES])
    left = len(names) - MAX_SHOWN_NAMES
    return f"{shown} and {left} more" if left > 0 else shown
