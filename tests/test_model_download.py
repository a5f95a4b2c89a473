"""Downloads against a server of our own: resumed, checked, and refused in one sentence."""

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("huggingface_hub", reason="downloads need the extra hf")

from kvchat.errors import InvalidArgument, KVChatError, ModelError
from kvchat.hub_client import DownloadFailed, HubClient
from kvchat.model.folder import ModelFolder
from kvchat.model_download import Repository, is_partial, pull
from tests.model_files import INDEX, SHARDS, sharded_files, single_files, text_files
from tests.stand_in_hub import COMMIT, PATIENCE, StandInHub
from tests.stand_in_hub import Repository as Remote

NAME = "org/tiny"
JUNK = {
    "README.md": b"# A model",
    "pytorch_model.bin": b"pickle",
    "consolidated.safetensors": b"twice the same",
    "original/model.safetensors": b"in a folder",
    "run.py": b"print()",
    ".gitattributes": b"",
}

TEXT_BYTES = sum(map(len, text_files().values()))


@pytest.fixture
def hub() -> Iterator[StandInHub]:
    with StandInHub({NAME: Remote(single_files() | JUNK)}) as hub:
        yield hub


@pytest.fixture
def remote(hub: StandInHub) -> Remote:
    return hub.repositories[NAME]


@pytest.fixture(autouse=True)
def without_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """The library waits between attempts; here nothing gets better by waiting."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.file_download.time.sleep", lambda seconds: None)


class Fetched:
    """Downloads from a hub, and notes what was said meanwhile."""

    def __init__(self, hub: StandInHub, models_dir: Path) -> None:
        self.models_dir = models_dir
        self.client = HubClient(hub.url)
        self.progress: list[tuple[str, int, int]] = []
        self.stop_at: int | None = None

    def __call__(self, name: str = NAME) -> ModelFolder:
        return pull(Repository.parse(name), self.models_dir, self.client, self._note)

    def folder(self, name: str = NAME) -> Path:
        return self.models_dir / name

    def _note(self, name: str, done: int, total: int) -> None:
        self.progress.append((name, done, total))
        if self.stop_at is not None and done >= self.stop_at:
            raise KeyboardInterrupt


@pytest.fixture
def fetch(hub: StandInHub, tmp_path: Path) -> Fetched:
    return Fetched(hub, tmp_path / "models")


def names(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


def test_only_safetensors_and_text_files_come_and_make_a_model(fetch: Fetched) -> None:
    folder = fetch()
    assert folder.path == fetch.folder()
    assert names(folder.path) == {*single_files(), ".source.json"}
    for name, content in single_files().items():
        assert (folder.path / name).read_bytes() == content
    source = json.loads((folder.path / ".source.json").read_text())
    assert source == {"repository": NAME, "commit": COMMIT}
    assert not is_partial(folder.path)


def test_progress_counts_the_bytes_of_all_files(fetch: Fetched) -> None:
    fetch()
    sizes = {name: len(content) for name, content in single_files().items()}
    _, done, total = fetch.progress[-1]
    assert done == total == sum(sizes.values())
    assert {name for name, _, _ in fetch.progress} == set(sizes)
    assert all(done <= total for _, done, total in fetch.progress)


def test_a_model_that_is_there_is_not_fetched_again(fetch: Fetched, hub: StandInHub) -> None:
    fetch()
    hub.requests.clear()
    fetch()
    assert len(hub.requests) == 1 and "/api/models/" in hub.requests[0]


def test_a_newer_state_replaces_the_older_one_file_by_file(fetch: Fetched, remote: Remote) -> None:
    fetch()
    remote.files = sharded_files()
    remote.commit = "b" * 40
    folder = fetch()
    assert names(folder.path) == {*sharded_files(), ".source.json"}


def test_shards_come_with_their_index(fetch: Fetched, remote: Remote) -> None:
    remote.files = sharded_files() | JUNK
    folder = fetch()
    assert [path.name for path in folder.weight_files] == list(SHARDS)


def test_a_revision_has_a_folder_of_its_own(fetch: Fetched, remote: Remote) -> None:
    remote.refs["pr/1"] = COMMIT
    folder = fetch(f"{NAME}@pr/1")
    assert folder.path == fetch.folder(f"{NAME}@pr--1")


# Interrupted


def test_an_interrupted_download_goes_on_where_it_stopped(fetch: Fetched, hub: StandInHub) -> None:
    size = len(single_files()["model.safetensors"])
    hub.repositories[NAME].break_after = {"model.safetensors": size // 2}
    fetch.stop_at = 1500
    with pytest.raises(KeyboardInterrupt):
        fetch()
    assert is_partial(fetch.folder()) and not (fetch.folder() / "model.safetensors").exists()
    with pytest.raises(ModelError):
        ModelFolder.open(fetch.folder())
    sizes = {path.stem: path.stat().st_size for path in (fetch.folder() / ".partial").iterdir()}
    complete = [name for name, raw in text_files().items() if sizes.get(name) == len(raw)]
    assert complete
    fetch.stop_at = None
    hub.requests.clear()
    folder = fetch()
    assert (folder.path / "model.safetensors").read_bytes() == single_files()["model.safetensors"]
    assert [name for name in complete if hub.gets(name)] == []


@pytest.mark.parametrize("knows_ranges", [True, False])
def test_a_broken_connection_is_taken_up_again(
    fetch: Fetched,
    hub: StandInHub,
    remote: Remote,
    knows_ranges: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 500)
    remote.break_after["model.safetensors"] = 1000
    remote.knows_ranges = knows_ranges
    folder = fetch()
    assert (folder.path / "model.safetensors").read_bytes() == remote.files["model.safetensors"]
    asked = hub.gets("model.safetensors")
    assert len(asked) == 2 and asked[1].endswith("bytes=1000-")


def test_after_ctrl_c_inside_a_file_the_next_run_asks_for_the_rest_only(
    fetch: Fetched, hub: StandInHub, remote: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 512)
    fetch.stop_at = TEXT_BYTES + 2000
    with pytest.raises(KeyboardInterrupt):
        fetch()
    hub.requests.clear()
    fetch.stop_at = None
    folder = fetch()
    (asked,) = [each for each in hub.requests if each.startswith("GET") and "/resolve/" in each]
    assert asked.endswith("bytes=2048-")
    assert (folder.path / "model.safetensors").read_bytes() == remote.files["model.safetensors"]


def test_what_came_of_other_content_is_not_gone_on_with(
    fetch: Fetched, hub: StandInHub, remote: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 512)
    fetch.stop_at = TEXT_BYTES + 2000
    with pytest.raises(KeyboardInterrupt):
        fetch()
    weights = bytearray(remote.files["model.safetensors"])
    weights[-1] ^= 1
    remote.files["model.safetensors"] = bytes(weights)
    remote.commit = "b" * 40
    fetch.stop_at = None
    hub.requests.clear()
    folder = fetch()
    assert (folder.path / "model.safetensors").read_bytes() == weights
    assert not any("bytes=" in each for each in hub.requests)


def test_a_connection_that_never_holds_is_one_sentence_and_keeps_what_came(
    fetch: Fetched, remote: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Always(dict[str, int]):
        def pop(self, name: str, default: Any = None) -> Any:
            return 0 if name == "model.safetensors" else default

    remote.break_after = Always()
    with pytest.raises(DownloadFailed, match=r"failed \(\w+\); what came is kept"):
        fetch()
    remote.break_after = {}
    fetch()


def test_two_downloads_of_the_same_do_not_run_at_once(
    fetch: Fetched, hub: StandInHub, tmp_path: Path
) -> None:
    other = Fetched(hub, fetch.models_dir)
    refusals: list[str] = []

    def begin_another(name: str, done: int, total: int) -> None:
        if not refusals:
            with pytest.raises(DownloadFailed) as caught:
                other()
            refusals.append(caught.value.sentence)

    pull(Repository.parse(NAME), fetch.models_dir, fetch.client, begin_another)
    assert refusals == [f"Another kvchat is downloading {NAME} already."]


# Refused


def index_of(**tensors: str) -> bytes:
    return json.dumps({"weight_map": tensors}).encode()


def without(*left_out: str) -> dict[str, bytes]:
    return {name: raw for name, raw in single_files().items() if name not in left_out}


REFUSALS: dict[str, tuple[Callable[[Remote], object], str]] = {
    "gated": (
        lambda r: setattr(r, "is_gated", True),
        "org/tiny is gated: accept its terms on https://127.0.0.1",
    ),
    "no config": (lambda r: r.files.pop("config.json"), "is not a model: config.json is missing."),
    "config of rubbish": (
        lambda r: r.files.update({"config.json": b"{"}),
        "org/tiny: config.json is damaged at line 1",
    ),
    "config no object": (
        lambda r: r.files.update({"config.json": b"[]"}),
        "org/tiny: config.json is not a JSON object.",
    ),
    "unknown family": (
        lambda r: r.files.update({"config.json": b'{"model_type": "rwkv"}'}),
        "org/tiny is not downloaded: 'rwkv' is not a decoder",
    ),
    "pickle only": (
        lambda r: setattr(r, "files", without("model.safetensors") | {"model.bin": b""}),
        "only 'model.bin' found; kvchat reads safetensors and never opens pickle files.",
    ),
    "no weights": (
        lambda r: setattr(r, "files", without("model.safetensors")),
        "no safetensors files found;",
    ),
    "shard missing": (
        lambda r: setattr(
            r, "files", without("model.safetensors") | {INDEX: index_of(x="gone.safetensors")}
        ),
        "org/tiny: shard 'gone.safetensors' is missing.",
    ),
    "shard outside": (
        lambda r: setattr(
            r,
            "files",
            without("model.safetensors")
            | {INDEX: index_of(x="../up.safetensors"), "../up.safetensors": b"x"},
        ),
        "org/tiny: the index names '../up.safetensors', which is outside the folder.",
    ),
    "index of rubbish": (
        lambda r: setattr(r, "files", without("model.safetensors") | {INDEX: b"[[["}),
        "org/tiny: model.safetensors.index.json is damaged",
    ),
    "index that lies": (
        lambda r: setattr(r, "files", sharded_files() | {INDEX: index_of(x=SHARDS[0])}),
        "the index says that tensor 'x' is in 'model-00001-of-00002.safetensors', but it is not.",
    ),
    "weights of rubbish": (
        lambda r: r.files.update({"model.safetensors": b"\0" * 100}),
        "org/tiny: model.safetensors is damaged",
    ),
    "too short": (
        lambda r: r.sent.update({"model.safetensors": b"short"}),
        "model.safetensors has 5 bytes where the listing states",
    ),
    "other bytes": (
        lambda r: r.sent.update({"tokenizer.model": bytes(len(r.files["tokenizer.model"]))}),
        "tokenizer.model is not what the hub says it is, and was deleted;",
    ),
    "tokenizer too large": (
        lambda r: r.listed.update(
            {"tokenizer.json": {"rfilename": "tokenizer.json", "size": 1 << 40, "blobId": "x"}}
        ),
        "tokenizer.json has 1099511627776 bytes, at most 67108864 are fetched.",
    ),
    "listed only": (
        lambda r: r.listed.update(
            {"merges.txt": {"rfilename": "merges.txt", "size": 5, "blobId": "x"}}
        ),
        "org/tiny lists merges.txt, but it is not there.",
    ),
    "more than the disk holds": (
        lambda r: r.listed.update(
            {
                "model.safetensors": {
                    "rfilename": "model.safetensors",
                    "size": 1 << 60,
                    "blobId": "x",
                }
            }
        ),
        "org/tiny needs 1152921504.7 GB more on the disk of",
    ),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_what_is_wrong_with_a_repository_is_one_sentence(
    fetch: Fetched, remote: Remote, name: str
) -> None:
    damage, expected = REFUSALS[name]
    damage(remote)
    with pytest.raises(KVChatError) as caught:
        fetch()
    assert isinstance(caught.value, DownloadFailed | ModelError)
    assert expected in caught.value.sentence
    assert caught.value.sentence.isprintable() and caught.value.sentence.endswith(".")
    assert not (fetch.folder() / "model.safetensors").exists()


def test_a_model_that_cannot_be_loaded_costs_no_weights(
    fetch: Fetched, hub: StandInHub, remote: Remote
) -> None:
    remote.files["config.json"] = b'{"model_type": "t5"}'
    with pytest.raises(ModelError):
        fetch()
    assert hub.gets("model.safetensors") == []


def test_a_file_longer_than_listed_is_cut_off_while_it_comes(
    fetch: Fetched, hub: StandInHub, remote: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "huggingface_hub.get_hf_file_metadata",
        lambda url, **_: type("Metadata", (), {"size": None, "location": url}),
    )
    remote.sent["model.safetensors"] = remote.files["model.safetensors"] + b"more"
    with pytest.raises(DownloadFailed, match="came with more than the"):
        fetch()
    assert not any("model.safetensors" in name for name in names(fetch.folder()))


HOSTILE = (
    "../config.json",
    "../../outside.safetensors",
    "/etc/passwd.safetensors",
    "a/../../b.safetensors",
    "..\\x.safetensors",
    "x\0.safetensors",
    "~/x.safetensors",
    "model.safetensors\n",
    ".safetensors",
    "-rf.safetensors",
    "ﬁle.safetensors",
    "config.json/..",
    "x" * 5000 + ".safetensors",
    "",
)


def test_names_that_lead_outside_are_never_fetched(
    fetch: Fetched, hub: StandInHub, remote: Remote, tmp_path: Path
) -> None:
    for name in HOSTILE:
        remote.listed[name] = {"rfilename": name, "size": 3, "blobId": "x"}
    folder = fetch()
    assert names(folder.path) == {*single_files(), ".source.json"}
    assert names(tmp_path) == {
        "models",
        "models/org",
        "models/org/tiny",
        *(f"models/org/tiny/{name}" for name in (*single_files(), ".source.json")),
    }
    fetched = {each.split("/")[-1] for each in hub.requests if each.startswith("GET /org")}
    assert fetched == set(single_files())


def test_entries_without_a_size_or_of_another_type_are_passed_over(
    fetch: Fetched, remote: Remote
) -> None:
    remote.listed = {
        "added_tokens.json": {"rfilename": "added_tokens.json", "blobId": "x"},
        "vocab.json": {"rfilename": "vocab.json", "size": "5", "blobId": "x"},
        "merges.txt": {"rfilename": "merges.txt", "size": -5, "blobId": "x"},
    }
    assert names(fetch().path) == {*single_files(), ".source.json"}


def test_a_huge_listing_costs_nothing_but_its_names(fetch: Fetched, remote: Remote) -> None:
    remote.listed = {
        f"shard-{index}.safetensors": {
            "rfilename": f"shard-{index}.safetensors",
            "size": 1 << 40,
            "blobId": "x",
        }
        for index in range(20_000)
    }
    assert names(fetch().path) == {*single_files(), ".source.json"}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("org/none", "has no model org/none, or it is private: then log in with hf auth login."),
        (f"{NAME}@v9", "org/tiny has no revision v9."),
    ],
)
def test_a_name_that_is_not_there_is_one_sentence(fetch: Fetched, name: str, expected: str) -> None:
    with pytest.raises(DownloadFailed) as caught:
        fetch(name)
    assert caught.value.sentence.endswith(expected)
    assert not fetch.models_dir.exists()


def test_a_hub_that_is_ill_says_so(fetch: Fetched, hub: StandInHub) -> None:
    hub.status = 500
    with pytest.raises(DownloadFailed, match=r"answered 500 for org/tiny; try again later\."):
        fetch()


def test_no_network_is_one_sentence(tmp_path: Path) -> None:
    with StandInHub({}) as gone:
        url = gone.url
    with pytest.raises(DownloadFailed, match=r"The connection to 127\.0\.0\.1:\d+ failed"):
        pull(Repository.parse(NAME), tmp_path, HubClient(url), lambda *_: None)


@pytest.mark.parametrize(
    "text",
    [
        *("", "a/b/c", "../x", "a/..", "-x/y", "a b", "org/x..y", "a--b", "org/náme", "/abs"),
        *("a/b@", "a/b@../c", "a/b@-x", "x" * 200, "a/b\n"),
    ],
)
def test_what_is_no_name_of_a_repository_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument):
        Repository.parse(text)


def test_a_full_disk_is_one_sentence_and_keeps_what_came(
    fetch: Fetched, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage("/")
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage._replace(free=1000))
    with pytest.raises(DownloadFailed, match=r"where 0\.0 GB are free"):
        fetch()
    assert any("config.json" in name for name in names(fetch.folder()))


# The command


def start(hub: StandInHub, tmp_path: Path, *words: str) -> subprocess.Popen[str]:
    environment = {
        "PATH": "/usr/bin:/bin",
        "HOME": str(tmp_path),
        "XDG_DATA_HOME": str(tmp_path / "data"),
        "HF_ENDPOINT": hub.url,
        "PYTHONPATH": str(Path(__file__).parents[1]),
    }
    return subprocess.Popen(
        [sys.executable, "-m", "kvchat", "models", *words],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def command(hub: StandInHub, tmp_path: Path, *words: str) -> subprocess.CompletedProcess[str]:
    with start(hub, tmp_path, *words) as process:
        stdout, stderr = process.communicate(timeout=PATIENCE)
    return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)


def test_the_command_downloads_lists_and_inspects(hub: StandInHub, tmp_path: Path) -> None:
    result = command(hub, tmp_path, "pull", NAME)
    assert result.returncode == 0, result.stderr
    folder = Path(result.stdout.strip())
    assert folder == tmp_path / "data/kvchat/models" / NAME
    assert result.stderr.splitlines()[-1] == f"kvchat --model {NAME} uses it."
    (model,) = [
        row for row in json.loads(command(hub, tmp_path, "--json").stdout) if row["place"] == "own"
    ]
    assert (model["name"], model["usable"], model["family"]) == (NAME, True, "llama")
    assert "usable" in command(hub, tmp_path, "inspect", "tiny").stdout.splitlines()


def test_ctrl_c_says_that_the_same_command_goes_on(
    hub: StandInHub, remote: Remote, tmp_path: Path
) -> None:
    remote.hold_after["model.safetensors"] = 5000
    with start(hub, tmp_path, "pull", NAME) as process:
        assert hub.is_holding.wait(PATIENCE)
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=PATIENCE)
    hub.go_on.set()
    assert (process.returncode, stdout) == (130, "")
    assert stderr.splitlines()[-1] == "kvchat: stopped; the same command goes on from there."
    folder = tmp_path / "data/kvchat/models" / NAME
    assert is_partial(folder) and not (folder / "model.safetensors").exists()
    assert command(hub, tmp_path, "pull", NAME).returncode == 0
    assert not is_partial(folder)


def test_the_command_says_what_is_wrong_in_one_line(hub: StandInHub, tmp_path: Path) -> None:
    result = command(hub, tmp_path, "pull", "org/none")
    assert (result.returncode, result.stdout) == (69, "")
    (line,) = result.stderr.splitlines()
    assert line.startswith("kvchat: 127.0.0.1:") and "has no model org/none" in line


def test_without_the_library_the_command_names_what_to_install() -> None:
    program = (
        "import sys; sys.modules['huggingface_hub'] = None\n"
        "from kvchat.cli import main; sys.exit(main(['models', 'pull', 'a/b']))"
    )
    result = subprocess.run(
        [sys.executable, "-c", program],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.stderr.splitlines() == [
        "kvchat: kvchat models pull needs huggingface_hub; install it with:"
        " pip install 'kvchat[hf]'."
    ]
