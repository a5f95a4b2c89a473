import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

import kvchat
from kvchat.tui.tour import NAMES

DOCS = Path(kvchat.__file__).parent / "docs"
TEXT = (DOCS / "tour.md").read_text(encoding="utf-8")


def test_the_tour_shows_every_picture_that_the_script_takes_in_order() -> None:
    assert tuple(re.findall(r"!\[[^\]]+\]\(tour/(\w+)\.svg\)", TEXT)) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_picture_is_a_whole_svg_without_a_failure_in_it(name: str) -> None:
    picture = (DOCS / "tour" / f"{name}.svg").read_text(encoding="utf-8")
    assert ElementTree.fromstring(picture).tag.endswith("svg")
    assert "Traceback" not in picture and len(picture) < 200_000


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("ask", "streaming"),
        ("compare", "stand between"),
        ("tokens", "next doubt"),
        ("tree", "ask marked"),
        ("window", "are no longer seen"),
        ("lanes", "cell"),
    ],
)
def test_a_picture_shows_what_the_tour_says(name: str, words: str) -> None:
    picture = (DOCS / "tour" / f"{name}.svg").read_text(encoding="utf-8")
    shown = re.sub(r"&#160;|\s+", " ", "".join(ElementTree.fromstring(picture).itertext()))
    assert words in shown.replace("\xa0", " ")
