"""StandInHub: a server on this machine that speaks as much of the hub's API as a download needs.

Listings, HEAD and GET of files with ranges, and on request its faults: a connection that breaks, a
listing that lies, a repository that is gated. It counts what was asked.
"""

import contextlib
import hashlib
import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any
from urllib.parse import unquote

COMMIT = "a" * 40
PATIENCE = 60


@dataclass
class Repository:
    """Files of one repository, and how it misbehaves.

    listed      entries of the listing that replace the true ones, by name; None leaves one out
    sent        what is sent for a file instead of its content
    break_after  how many bytes of a file are sent before the connection breaks; once each
    hold_after   how many are sent before the server waits for `StandInHub.go_on`
    """

    files: dict[str, bytes]
    commit: str = COMMIT
    refs: dict[str, str] = field(default_factory=dict)
    is_gated: bool = False
    knows_ranges: bool = True
    listed: dict[str, dict[str, Any] | None] = field(default_factory=dict)  # values of JSON
    sent: dict[str, bytes] = field(default_factory=dict)
    break_after: dict[str, int] = field(default_factory=dict)
    hold_after: dict[str, int] = field(default_factory=dict)

    def siblings(self) -> list[dict[str, Any]]:
        """Return the listing's entries, as the hub writes them."""
        entries: dict[str, dict[str, Any] | None] = {}
        for name, content in self.files.items():
            entry: dict[str, Any] = {
                "rfilename": name,
                "size": len(content),
                "blobId": hashlib.sha1(content).hexdigest(),
            }
            if name.endswith((".safetensors", ".model")):
                sha256 = hashlib.sha256(content).hexdigest()
                entry["lfs"] = {"sha256": sha256, "size": len(content), "pointerSize": 134}
            entries[name] = entry
        entries |= self.listed
        return [entry for entry in entries.values() if entry is not None]


class StandInHub:
    """Serves repositories by name until the end of a `with` block."""

    def __init__(self, repositories: Mapping[str, Repository]) -> None:
        self.repositories = dict(repositories)
        self.status: int | None = None
        """Answered to everything, if set."""
        self.requests: list[str] = []
        """Method and path of each, with the range that was asked for."""
        self.is_holding = threading.Event()
        self.go_on = threading.Event()
        hub = self

        class Handler(_Handler):
            server_hub = hub

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = False
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def gets(self, name: str) -> list[str]:
        """Return the GET requests for a file."""
        return [each for each in self.requests if each.startswith("GET") and f"/{name}" in each]

    def __enter__(self) -> "StandInHub":
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.go_on.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    server_hub: StandInHub
    protocol_version = "HTTP/1.0"  # every answer ends its connection, so no thread is left waiting

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""

    def _answer(self, *, with_body: bool) -> None:
        hub = self.server_hub
        asked = self.headers.get("Range", "")
        hub.requests.append(f"{self.command} {self.path} {asked}".strip())
        if hub.status is not None:
            self._send(hub.status, b"", {})
            return
        path = unquote(self.path.split("?")[0])
        if path.startswith("/api/models/"):
            name, _, revision = path.removeprefix("/api/models/").partition("/revision/")
            self._list(name, revision or "main")
            return
        name, _, rest = path.removeprefix("/").partition("/resolve/")
        commit, _, file = rest.partition("/")
        repository = hub.repositories.get(name)
        if repository is None:
            self._refuse(404, "RepoNotFound")
        elif commit != repository.commit:
            self._refuse(404, "RevisionNotFound")
        elif file not in repository.files:
            self._refuse(404, "EntryNotFound")
        else:
            self._file(repository, file, with_body)

    def _list(self, name: str, revision: str) -> None:
        repository = self.server_hub.repositories.get(name)
        if repository is None:
            self._refuse(401, "RepoNotFound")
        elif repository.is_gated:
            self._refuse(403, "GatedRepo")
        elif revision not in ("main", repository.commit, *repository.refs):
            self._refuse(404, "RevisionNotFound")
        else:
            document = {
                "_id": "0",
                "id": name,
                "modelId": name,
                "sha": repository.refs.get(revision, repository.commit),
                "siblings": repository.siblings(),
            }
            body = json.dumps(document).encode()
            self._send(200, body, {"Content-Type": "application/json"})

    def _file(self, repository: Repository, name: str, with_body: bool) -> None:
        content = repository.sent.get(name, repository.files[name])
        first = 0
        asked = self.headers.get("Range", "")
        headers = {
            "ETag": f'"{hashlib.sha1(content).hexdigest()}"',
            "X-Repo-Commit": repository.commit,
            "Accept-Ranges": "bytes",
        }
        status = 200
        if asked and repository.knows_ranges:
            first = int(asked.removeprefix("bytes=").split("-")[0])
            status = 206
            headers["Content-Range"] = f"bytes {first}-{len(content) - 1}/{len(content)}"
        body = content[first:]
        limit = repository.break_after.pop(name, None) if with_body else None
        hold = repository.hold_after.pop(name, None) if with_body else None
        self._send(status, body, headers, with_body=with_body, limit=limit, hold=hold)

    def _refuse(self, status: int, code: str) -> None:
        self._send(status, b"", {"X-Error-Code": code, "X-Error-Message": code})

    def _send(
        self,
        status: int,
        body: bytes,
        headers: dict[str, str],
        *,
        with_body: bool = True,
        limit: int | None = None,
        hold: int | None = None,
    ) -> None:
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if not with_body:
            return
        part = body[:limit]
        if hold is not None:
            self.wfile.write(part[:hold])
            self.server_hub.is_holding.set()
            self.server_hub.go_on.wait(PATIENCE)
            part = part[hold:]
        with contextlib.suppress(ConnectionError):  # whoever asked may be gone
            self.wfile.write(part)
