"""Download: one repository of the hub into kvchat's own models folder, whole or not at all.

Files gather in `.partial` inside the folder, under names that end in their content's id, so that
an interrupted download goes on, and one of other content never does. Only when all are there and
checked do they get their names, by rename: a model in use keeps the files it has mapped.
"""

import fcntl
import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from kvchat.durable_files import adopt_durably, private_dir, write_durably
from kvchat.errors import InvalidArgument, KVChatError, ModelError
from kvchat.hub_client import DownloadFailed, HubClient, Listing, RemoteFile
from kvchat.model.config import ModelConfig, shown
from kvchat.model.folder import ModelFolder, shards_by_tensor
from kvchat.untrusted import JsonValue, read_regular, read_safetensors_header, strict_json

PARTIAL = ".partial"
SOURCE = ".source.json"
MAX_TEXT_BYTES = 64 << 20
"""The largest tokenizer or other text file that is fetched."""
SPARE_BYTES = 64 << 20
"""What must stay free on the disk."""
_NAME = re.compile(r"[\w](?:[\w.-]{0,94}[\w])?", re.ASCII)
_REVISION = re.compile(r"[\w](?:[\w./-]{0,120}[\w])?", re.ASCII)
_WEIGHTS = re.compile(r"[\w][\w.-]{0,120}\.safetensors", re.ASCII)
_TEXTS = re.compile(
    r"config\.json|generation_config\.json|model\.safetensors\.index\.json|tokenizer\.model"
    r"|tokenizer\.json|tokenizer_config\.json|special_tokens_map\.json|added_tokens\.json"
    r"|chat_template\.jinja|vocab\.json|merges\.txt|(?:LICEN[CS]E|NOTICE|USE_POLICY)(?:\.txt|\.md)?"
)
_INDEX = "model.safetensors.index.json"
_SINGLE = "model.safetensors"
_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".h5", ".msgpack")

Progress = Callable[[str, int, int], None]
"""Called with the name of a file, the bytes of all files that are there, and those of all."""


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository of the hub and a revision, None for its main branch, both checked."""

    name: str
    revision: str | None = None

    @classmethod
    def parse(cls, text: str) -> "Repository":
        """Return ORG/NAME, NAME, ORG/NAME@REVISION; raises InvalidArgument for anything else."""
        name, _, revision = text.partition("@")
        parts = name.split("/")
        is_name = len(parts) <= 2 and all(_NAME.fullmatch(part) for part in parts)
        if not is_name or ".." in name or "--" in name:
            raise InvalidArgument(
                f"{text[:80]!r} is not the name of a repository; write it like ORG/NAME or"
                " ORG/NAME@REVISION."
            )
        if "@" in text and (not _REVISION.fullmatch(revision) or ".." in revision):
            raise InvalidArgument(f"{revision[:80]!r} is not a branch, a tag or a commit.")
        return cls(name, revision or None)

    def folder(self, models_dir: Path) -> Path:
        """Return where the repository lies in a models folder."""
        if self.revision is None:
            return models_dir / self.name
        return models_dir / f"{self.name}@{self.revision.replace('/', '--')}"


def pull(
    repository: Repository, models_dir: Path, client: HubClient, on_progress: Progress
) -> ModelFolder:
    """Bring a repository to the models folder and return it, opened.

    Raises DownloadFailed where the hub, the network or the disk end it; then, as after Ctrl-C, what
    came is kept. Raises ModelError for a model that kvchat cannot load, before its weights are
    fetched wherever config.json shows it.
    """
    listing = client.listing(repository.name, repository.revision)
    folder = repository.folder(models_dir)
    if _is_there(folder, listing):
        return ModelFolder.open(folder)
    private_dir(folder)
    partial = private_dir(folder / PARTIAL)
    with _only_one(partial, repository):
        files = _texts(listing)
        download = _Download(client, listing, partial, files, on_progress)
        download.fetch_all()
        document = download.json_object("config.json")
        _refuse_unsupported(repository, document)
        index = download.json_object(_INDEX) if _INDEX in files else {}
        files |= _weights(listing, index)
        download.remove_others()
        download.check_room()
        download.fetch_all()
        download.check(index)
        download.install(folder)
    shutil.rmtree(partial, ignore_errors=True)
    return ModelFolder.open(folder)


def is_partial(folder: Path) -> bool:
    """Say whether a download into a model folder began and did not end."""
    return (folder / PARTIAL).is_dir()


class _Download:
    """The files that are wanted, and those of them that have come."""

    def __init__(
        self,
        client: HubClient,
        listing: Listing,
        partial: Path,
        files: dict[str, RemoteFile],
        on_progress: Progress,
    ) -> None:
        self._client = client
        self._listing = listing
        self._partial = partial
        self._files = files
        self._on_progress = on_progress

    def path(self, file: RemoteFile) -> Path:
        """Return where the bytes of a file gather."""
        return self._partial / f"{file.name}.{file.content_id}"

    def fetch_all(self) -> None:
        """Fetch what is missing, small files first."""
        total = sum(file.num_bytes for file in self._files.values())
        for file in sorted(self._files.values(), key=lambda each: each.num_bytes):
            before = self._num_bytes_there() - self._num_bytes_of(file)

            def tell(done: int, name: str = file.name, before: int = before) -> None:
                self._on_progress(name, before + done, total)

            self._client.fetch(self._listing, file, self.path(file), tell)

    def json_object(self, name: str) -> dict[str, JsonValue]:
        """Return a JSON file that has come; raises ModelError where it is damaged or missing."""
        file = self._files.get(name)
        if file is None:
            raise ModelError(f"{self._listing.repository} is not a model: {name} is missing.")
        try:
            document = strict_json(read_regular(self.path(file), MAX_TEXT_BYTES), name=name)
        except KVChatError as error:
            raise ModelError(f"{self._listing.repository}: {error.sentence}") from error
        if not isinstance(document, dict):
            raise ModelError(f"{self._listing.repository}: {name} is not a JSON object.")
        return document

    def remove_others(self) -> None:
        """Delete what earlier downloads left that is not part of this one."""
        wanted = {self.path(file).name for file in self._files.values()} | {"lock"}
        for path in self._partial.iterdir():
            if path.name not in wanted:
                path.unlink()

    def check_room(self) -> None:
        """Raise DownloadFailed where the disk cannot hold the rest."""
        total = sum(file.num_bytes for file in self._files.values())
        needed = total - self._num_bytes_there() + SPARE_BYTES
        free = shutil.disk_usage(self._partial).free
        if free < needed:
            raise DownloadFailed(
                f"{self._listing.repository} needs {needed / 1e9:.1f} GB more on the disk of"
                f" {self._partial.parent}, where {free / 1e9:.1f} GB are free."
            )

    def check(self, index: Mapping[str, JsonValue]) -> None:
        """Check digests, the headers of the weights, and that the index names what is in them."""
        tensors: dict[str, str] = {}
        for file in self._files.values():
            path = self.path(file)
            if file.sha256 is not None and _sha256(path) != file.sha256:
                path.unlink()
                raise DownloadFailed(
                    f"{file.name} is not what the hub says it is, and was deleted; the same command"
                    " fetches it again."
                )
            if _WEIGHTS.fullmatch(file.name):
                try:
                    header = read_safetensors_header(path)
                except KVChatError as error:
                    sentence = error.sentence.replace(path.name, file.name)
                    raise ModelError(f"{self._listing.repository}: {sentence}") from error
                tensors |= dict.fromkeys(header.tensors, file.name)
        for tensor, name in (shards_by_tensor(index) if index else {}).items():
            if tensors.get(tensor) != name:
                raise ModelError(
                    f"{self._listing.repository}: the index says that tensor {shown(tensor)} is in"
                    f" {shown(name)}, but it is not."
                )

    def install(self, folder: Path) -> None:
        """Give every file its name, delete those of an older state, and note what this is."""
        try:
            for file in self._files.values():
                adopt_durably(self.path(file), folder / file.name)
            for path in folder.iterdir():
                is_ours = _WEIGHTS.fullmatch(path.name) or _TEXTS.fullmatch(path.name)
                if is_ours and path.name not in self._files:
                    path.unlink()
            source = {"repository": self._listing.repository, "commit": self._listing.commit}
            write_durably(folder / SOURCE, json.dumps(source).encode())
        except OSError as error:
            raise DownloadFailed(
                f"Cannot write to {folder}: {(error.strerror or str(error)).lower()}."
            ) from error

    def _num_bytes_of(self, file: RemoteFile) -> int:
        try:
            return self.path(file).stat().st_size
        except OSError:
            return 0

    def _num_bytes_there(self) -> int:
        return sum(self._num_bytes_of(file) for file in self._files.values())


def _texts(listing: Listing) -> dict[str, RemoteFile]:
    """Return the text files of a listing that belong to a model."""
    files = {file.name: file for file in listing.files if _TEXTS.fullmatch(file.name)}
    for file in files.values():
        if file.num_bytes > MAX_TEXT_BYTES:
            raise ModelError(
                f"{listing.repository}: {file.name} has {file.num_bytes} bytes, at most"
                f" {MAX_TEXT_BYTES} are fetched."
            )
    if "config.json" not in files:
        raise ModelError(f"{listing.repository} is not a model: config.json is missing.")
    return files


def _weights(listing: Listing, index: Mapping[str, JsonValue]) -> dict[str, RemoteFile]:
    """Return the weight files of a listing: the single one, or the shards of its index."""
    there = {file.name: file for file in listing.files if _WEIGHTS.fullmatch(file.name)}
    if _SINGLE in there:
        return {_SINGLE: there[_SINGLE]}
    if not index:
        pickles = sorted(file.name for file in listing.files if file.name.endswith(_PICKLES))
        found = f"only {shown(pickles[0])} found; " if pickles else "no safetensors files found; "
        raise ModelError(
            f"{listing.repository}: {found}kvchat reads safetensors and never opens pickle files."
        )
    try:
        names = sorted(set(shards_by_tensor(index).values()))
    except ModelError as error:
        raise ModelError(f"{listing.repository}: {error.sentence}") from error
    missing = [name for name in names if name not in there]
    if missing:
        raise ModelError(f"{listing.repository}: shard {shown(missing[0])} is missing.")
    return {name: there[name] for name in names}


def _refuse_unsupported(repository: Repository, document: Mapping[str, JsonValue]) -> None:
    try:
        ModelConfig.from_json(document)
    except ModelError as error:
        raise ModelError(f"{repository.name} is not downloaded: {error.sentence}") from error


def _is_there(folder: Path, listing: Listing) -> bool:
    """Whether the folder holds this commit already, by its note and the sizes of its files."""
    try:
        note = strict_json(read_regular(folder / SOURCE, 10_000))
    except KVChatError:
        return False
    if not isinstance(note, dict) or note.get("commit") != listing.commit:
        return False
    sizes = {file.name: file.num_bytes for file in listing.files}
    return not is_partial(folder) and all(
        path.stat().st_size == sizes.get(path.name)
        for path in folder.iterdir()
        if path.name in sizes
    )


@contextmanager
def _only_one(partial: Path, repository: Repository) -> Iterator[None]:
    """Keep other processes from downloading the same; the lock goes with the process."""
    descriptor = os.open(partial / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise DownloadFailed(
                f"Another kvchat is downloading {repository.name} already."
            ) from error
        yield
    finally:
        os.close(descriptor)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
