"""Where kvchat keeps its files on this system, and where the bundled model lies.

Only names are made here; `durable_files.private_dir` creates what is used. Everything that is
stored in files of ours lies below one of these four directories.
"""

from pathlib import Path

import platformdirs

_APP = "kvchat"


def data_dir() -> Path:
    """Return the directory of the chat database and of what belongs to it."""
    return Path(platformdirs.user_data_dir(_APP, appauthor=False))


def cache_dir() -> Path:
    """Return the directory of saved keys and values, which can be deleted at any time."""
    return Path(platformdirs.user_cache_dir(_APP, appauthor=False))


def settings_path() -> Path:
    """Return the path of settings.toml, whether or not it exists."""
    return Path(platformdirs.user_config_dir(_APP, appauthor=False)) / "settings.toml"


def log_dir() -> Path:
    """Return the directory of log files, which never hold chat text."""
    return Path(platformdirs.user_log_dir(_APP, appauthor=False))


def models_dir(data: Path | None = None) -> Path:
    """Return the directory of downloaded models, ORG/NAME each; larger than all the rest.

    `data` is where chats are stored if not at the usual place.
    """
    return (data or data_dir()) / "models"


def bundled_model_dir() -> Path:
    """Return the folder of the model that comes with kvchat.

    It is `kvchat/weights` in an installed package, and `weights` beside the package in a checkout.
    """
    package = Path(__file__).resolve().parent
    installed = package / "weights"
    return installed if installed.is_dir() else package.parent / "weights"
