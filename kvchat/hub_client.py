"""HubClient: what a repository on the Hugging Face hub holds, and the bytes of one of its files.

The one door to huggingface_hub (extra `hf`), which knows HF_ENDPOINT, HF_HUB_OFFLINE, proxies and
how the user is logged in. Nothing the server says is trusted: names are only compared, sizes are
enforced while bytes arrive, and every failure is one sentence.
"""

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NoReturn, cast
from urllib.parse import urlsplit

from kvchat.clean_text import clean
from kvchat.errors import KVChatError, ModelError

if TYPE_CHECKING:
    from types import ModuleType

INSTALL = "kvchat models pull needs huggingface_hub; install it with: pip install 'kvchat[hf]'."


class DownloadFailed(KVChatError):
    """The hub, the network or the disk kept a download from ending; what came is kept."""

    code = "download_failed"
    exit_status = 69


class ConnectionLost(DownloadFailed):
    """The network failed, not the hub, so trying again may help."""


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """One file of a repository: its name there, and size and digest as the listing states them.

    content_id  names the content: a partial file goes on only under the same one
    sha256      hexadecimal digest, None where the hub knows none
    """

    name: str
    num_bytes: int
    content_id: str
    sha256: str | None


@dataclass(frozen=True, slots=True)
class Listing:
    """A repository at one commit."""

    repository: str
    commit: str
    files: tuple[RemoteFile, ...]


class HubClient:
    """Talks to one hub; raises KVChatError, with what to do, where it cannot.

    endpoint  address of the hub; by default HF_ENDPOINT, else the public one
    """

    def __init__(self, endpoint: str | None = None) -> None:
        os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
        try:
            import huggingface_hub
            from huggingface_hub import constants
            from huggingface_hub.utils import logging
        except ImportError as error:
            raise KVChatError(INSTALL, code="extra_missing") from error
        # Its advice would go across the progress line.
        logging.set_verbosity_error()  # type: ignore[no-untyped-call]  # as the library has it
        self._library: ModuleType = huggingface_hub
        self._library.utils.disable_progress_bars()
        self._endpoint = (endpoint or constants.ENDPOINT).rstrip("/")
        self._host = urlsplit(self._endpoint).netloc

    def listing(self, repository: str, revision: str | None) -> Listing:
        """Return what a repository holds at a branch, tag or commit; None is its main branch."""
        with self._sentences(repository, revision):
            answer = self._library.HfApi(endpoint=self._endpoint).model_info(
                repository, revision=revision, files_metadata=True, timeout=30
            )
            commit = answer.sha
            files = tuple(_remote_files(answer.siblings or ()))
        if not isinstance(commit, str) or not commit.isalnum():
            raise DownloadFailed(f"{self._host} does not say which commit of {repository} it has.")
        return Listing(repository, commit, files)

    def fetch(
        self,
        listing: Listing,
        file: RemoteFile,
        path: Path,
        on_progress: Callable[[int], None],
    ) -> None:
        """Bring a file to `path`, going on behind the bytes that are there already.

        on_progress  called with the size of what is there, again and again

        Whatever ends it early leaves what came, so that the next call goes on from there. Raises
        DownloadFailed, also where the server sends another number of bytes than the listing states;
        that file is deleted.
        """
        if not path.exists() or path.stat().st_size > file.num_bytes:
            path.write_bytes(b"")
        done = path.stat().st_size
        on_progress(done)
        if done == file.num_bytes:
            return
        with _GrowingFile(path, file, on_progress) as target:
            while True:
                try:
                    with self._sentences(listing.repository, listing.commit, file.name):
                        self._get(listing, file, target, done)
                    break
                except ConnectionLost:
                    if target.tell() <= done:
                        raise
                    done = target.tell()  # something came, so there is hope
            num_bytes = target.tell()
        if num_bytes != file.num_bytes:
            path.unlink()
            raise DownloadFailed(
                f"{file.name} came with {num_bytes} bytes where the listing states"
                f" {file.num_bytes}; try again later."
            )

    def _get(self, listing: Listing, file: RemoteFile, target: "_GrowingFile", done: int) -> None:
        from huggingface_hub.file_download import http_get

        library = self._library
        url = library.hf_hub_url(
            listing.repository, file.name, revision=listing.commit, endpoint=self._endpoint
        )
        metadata = library.get_hf_file_metadata(url, timeout=30, endpoint=self._endpoint)
        if metadata.size is not None and metadata.size != file.num_bytes:
            target.fail(
                f"{file.name} has {metadata.size} bytes where the listing states"
                f" {file.num_bytes}; try again later."
            )
        headers = library.utils.build_hf_headers()
        headers["Accept-Encoding"] = "identity"
        if urlsplit(metadata.location).netloc != urlsplit(url).netloc:
            headers.pop("authorization", None)  # meant for the hub, not for where it stores files
        http_get(
            metadata.location,
            cast(BinaryIO, target),  # it has all of it that is used
            resume_size=done,
            headers=headers,
            expected_size=file.num_bytes,
        )

    @contextmanager
    def _sentences(
        self, repository: str, revision: str | None, name: str | None = None
    ) -> Iterator[None]:
        """Say in one sentence what the library raises."""
        from huggingface_hub import errors

        try:
            yield
        except KVChatError:
            raise
        except errors.GatedRepoError as error:
            raise DownloadFailed(
                f"{repository} is gated: accept its terms on https://{self._host}/{repository}, log"
                " in with hf auth login, and try again."
            ) from error
        except errors.RepositoryNotFoundError as error:
            raise DownloadFailed(
                f"{self._host} has no model {repository}, or it is private: then log in with hf"
                " auth login."
            ) from error
        except errors.RevisionNotFoundError as error:
            raise DownloadFailed(f"{repository} has no revision {revision}.") from error
        except errors.EntryNotFoundError as error:
            raise DownloadFailed(f"{repository} lists {name}, but it is not there.") from error
        except errors.OfflineModeIsEnabled as error:
            raise DownloadFailed("HF_HUB_OFFLINE is set, so nothing is downloaded.") from error
        except errors.HfHubHTTPError as error:
            status = getattr(error.response, "status_code", "no status")
            raise DownloadFailed(
                f"{self._host} answered {status} for {repository}; try again later."
            ) from error
        except errors.HFValidationError as error:
            raise ModelError(f"{repository} is not the name of a repository.") from error
        except Exception as error:
            # The classes of network errors differ between versions and have no base in common.
            kind = clean(type(error).__name__)
            raise ConnectionLost(
                f"The connection to {self._host} failed ({kind}); what came is kept, so the same"
                " command goes on from there."
            ) from error


class _GrowingFile:
    """A file that is appended to, never beyond the size it is to have."""

    def __init__(self, path: Path, file: RemoteFile, on_progress: Callable[[int], None]) -> None:
        self._path = path
        self._file = file
        self._on_progress = on_progress
        self._stream = path.open("r+b")
        self._stream.seek(0, os.SEEK_END)

    def write(self, chunk: bytes) -> int:
        """Append what came; raises DownloadFailed where it is too much, or the disk is full."""
        if self._stream.tell() + len(chunk) > self._file.num_bytes:
            self.fail(
                f"{self._file.name} came with more than the {self._file.num_bytes} bytes that the"
                " listing states; try again later."
            )
        try:
            count = self._stream.write(chunk)
            self._stream.flush()
        except OSError as error:
            raise DownloadFailed(
                f"Cannot write {self._path}: {(error.strerror or str(error)).lower()}; what came is"
                " kept, so the same command goes on from there."
            ) from error
        self._on_progress(self._stream.tell())
        return count

    def fail(self, sentence: str) -> NoReturn:
        """Delete what came, since it is not the file that was listed."""
        self._path.unlink()
        raise DownloadFailed(sentence)

    def tell(self) -> int:
        """Return how many bytes there are."""
        return self._stream.tell()

    def seek(self, position: int) -> int:
        """Go to a position, from which a server that cannot resume begins again."""
        return self._stream.seek(position)

    def truncate(self) -> int:
        """Forget what is behind the position."""
        return self._stream.truncate()

    def __enter__(self) -> "_GrowingFile":
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()


def _remote_files(siblings: Iterable[object]) -> Iterator[RemoteFile]:
    """Yield the files of a listing whose entries have the expected types."""
    for each in siblings:
        name, num_bytes = getattr(each, "rfilename", None), getattr(each, "size", None)
        lfs = getattr(each, "lfs", None)
        sha256 = getattr(lfs, "sha256", None)
        if not isinstance(name, str) or not isinstance(num_bytes, int) or num_bytes < 0:
            continue
        digest = sha256 if isinstance(sha256, str) else None
        content = digest or str(getattr(each, "blob_id", None))
        yield RemoteFile(name, num_bytes, _short_digest(f"{content} {num_bytes}"), digest)


def _short_digest(text: str) -> str:
    return hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=8).hexdigest()
