"""The pages of the docs: links and file names in them are true, examples marked `run` do."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "kvchat"
PAGES = sorted(path.name for path in (PACKAGE / "docs").glob("*.md"))
TEXTS = {name: (PACKAGE / "docs" / name).read_text(encoding="utf-8") for name in PAGES}
LINKS = [
    (name, target)
    for name, text in TEXTS.items()
    for target in re.findall(r"(?<!`)\]\(([^)\s]+)\)", text)
]
EXAMPLES = [
    (name, code)
    for name, text in TEXTS.items()
    for code in re.findall(r"^```python run\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
]


def anchors(text: str) -> set[str]:
    """The places a link can go to in a page: its headings, as web pages spell them."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in headings}


def test_there_are_pages() -> None:
    assert {"architecture.md", "changelog.md", "keys.md"} <= set(PAGES)


@pytest.mark.parametrize("name", PAGES)
def test_a_page_begins_with_its_title_and_is_of_readable_width(name: str) -> None:
    lines = TEXTS[name].splitlines()
    assert lines[0].startswith("# ") and sum(line.startswith("# ") for line in lines) >= 1
    too_long = [line for line in lines if len(line) > 100 and not line.startswith("|")]
    assert too_long == []


@pytest.mark.parametrize(("name", "target"), LINKS)
def test_a_link_leads_somewhere(name: str, target: str) -> None:
    path, _, anchor = target.partition("#")
    page = (PACKAGE / "docs" / path).resolve() if path else PACKAGE / "docs" / name
    assert page.exists()
    assert not anchor or anchor in anchors(page.read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", PAGES)
def test_every_file_a_page_names_is_there(name: str) -> None:
    named = re.findall(r"`([\w/]+(?:\.(?:py|md|toml|txt)|/))`", TEXTS[name])
    places = (ROOT, PACKAGE, PACKAGE / "docs", PACKAGE / "tui")
    users = {"settings.toml"}
    missing = [
        each
        for each in named
        if each not in users and not any((place / each).exists() for place in places)
    ]
    assert missing == []


@pytest.mark.parametrize(("name", "code"), EXAMPLES)
def test_an_example_that_is_marked_runs(name: str, code: str) -> None:
    exec(compile(code, name, "exec"), {})
