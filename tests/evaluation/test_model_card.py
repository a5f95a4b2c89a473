"""The report inside a model card."""

from pathlib import Path

import pytest

from kvchat import paths
from kvchat.errors import InvalidArgument
from kvchat.evaluation.model_card import BEGIN, END, write_into_card

CARD = f"# Card\n\n{BEGIN}\nold\n{END}\n\n## Sources\n"


def test_what_stands_between_the_markers_is_replaced_and_nothing_else(tmp_path: Path) -> None:
    card = tmp_path / "MODEL_CARD.md"
    card.write_text(CARD, encoding="utf-8")
    card.chmod(0o644)
    for _ in range(2):
        write_into_card(card, ["new", "figures: ½"])
        text = card.read_text(encoding="utf-8")
        assert text == f"# Card\n\n{BEGIN}\n\nnew\nfigures: ½\n\n{END}\n\n## Sources\n"
    assert card.stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize(
    "card",
    ["# Card\n", f"{BEGIN}\n", f"{END}\n{BEGIN}\n", CARD + BEGIN, CARD + END, CARD + CARD],
)
def test_a_card_without_a_clear_place_is_left_alone(tmp_path: Path, card: str) -> None:
    path = tmp_path / "MODEL_CARD.md"
    path.write_text(card, encoding="utf-8")
    with pytest.raises(InvalidArgument, match="needs a line"):
        write_into_card(path, ["new"])
    assert path.read_text(encoding="utf-8") == card


def test_a_card_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="none"):
        write_into_card(tmp_path / "none.md", ["new"])


def test_the_card_of_the_bundled_model_has_a_place_for_the_report() -> None:
    card = (paths.bundled_model_dir() / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert card.count(BEGIN) == card.count(END) == 1 and card.index(BEGIN) < card.index(END)
