"""The benchmark of the app runs, and says what it measured beside what was asked."""

import asyncio
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from kvchat.bench import ui
from kvchat.bench.result import read_document
from kvchat.bench.ui import Figure, percentile, start_figures, stream_figures
from kvchat.bench.ui_lines import LineCosts
from kvchat.bench.ui_start import Start, measure_start
from kvchat.bench.ui_streams import StreamRun, open_app, open_runtime, without_screen
from kvchat.errors import InvalidArgument
from kvchat.runtime import ChatRuntime


@pytest.fixture(autouse=True)
def same_switch_interval() -> Iterator[None]:
    before = sys.getswitchinterval()
    yield
    sys.setswitchinterval(before)


def test_it_prints_every_figure_with_its_budget_and_one_line_of_json(
    tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--model", str(tiny_model), "--rounds", "0", "--tokens", "6", "--starts", "0"]
    assert ui.main([*arguments, "--threads", "1", "--switch-interval", "0.004"]) == 0
    *table, last = capsys.readouterr().out.splitlines()
    found = json.loads(last)
    assert found["bench"] == "ui" and found["switch_interval"] == pytest.approx(0.004)
    assert found["rounds"]["script"][0]["with_screen"] > 0
    assert len(table) == len(found["figures"])
    for kind in ("script", "model"):
        figures = found["figures"]
        assert 0 < figures[f"{kind}: screen's thread, part of a core"]["measured"] < 1
        assert figures[f"{kind}: tokens/s with screen / without"]["budget"] == 0.95


def test_alone_the_json_is_the_only_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = StreamRun(2.0, 100, 0.05, (0.01,), (0.001,), 10)
    monkeypatch.setattr(ui, "_streams", lambda options, is_scripted: [(run, run)])

    async def no_lines() -> LineCosts:
        return LineCosts({1: 0.01, 50: 0.012}, 0.1, (0.005,))

    monkeypatch.setattr(ui, "line_costs", no_lines)
    monkeypatch.setattr(ui, "_starts", lambda options: [Start(0.3, 0.2, 3.0, (0.01, 0.02))])
    file = tmp_path / "found.json"
    assert ui.main(["--json", "--out", str(file)]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line) == read_document(file)
    figures = json.loads(line)["figures"]
    assert figures["append to 50 KB / to 1 KB"]["measured"] == pytest.approx(1.2)
    assert all(figure["is_good"] in (True, None) for figure in figures.values())


def test_a_missed_budget_is_said() -> None:
    assert "MISSED" in Figure("x", 0.2, 0.1, "%").line()
    assert Figure("x", 0.2, 0.1, "%").line().split()[-1] == "MISSED"
    assert Figure("x", 0.94, 0.95, at_least=True).is_good is False
    assert Figure("x", 0.96, 0.95, at_least=True).is_good is True
    assert Figure("x", 1.0).is_good is None
    assert "20 ms" in Figure("x", 0.02, 0.05, " ms").line()


def test_a_percentile_is_a_value_that_was_measured() -> None:
    values = [float(number) for number in range(100, 0, -1)]
    assert percentile(values, 0.95) == 96.0
    assert percentile([3.0], 0.95) == 3.0
    assert percentile([], 0.95) == 0.0


def test_the_ratio_is_one_of_medians() -> None:
    def pair(alone: float, below: float) -> tuple[StreamRun, StreamRun]:
        return StreamRun(1.0, int(alone)), StreamRun(1.0, int(below), 0.05, (0.01,), (0.0,))

    figures = stream_figures("x", [pair(100, 90), pair(200, 198), pair(300, 297)])
    by_name = {figure.name: figure.measured for figure in figures}
    assert by_name["x: tokens/s with screen / without"] == pytest.approx(0.99)
    assert by_name["x: the same, median of the pairs"] == pytest.approx(0.99)


def test_without_starts_nothing_is_said_of_them() -> None:
    assert start_figures([]) == []


def test_the_script_is_said_whatever_the_seed(tiny_model: Path) -> None:
    with open_runtime(str(tiny_model), 1, scripted=True) as runtime:
        runs = [without_screen(runtime, 6, seed) for seed in (1, 2)]
        assert runtime.sessions() == []
    assert [run.num_tokens for run in runs] == [24, 24]


def test_the_same_seeds_say_the_same_number_of_tokens(tiny_model: Path) -> None:
    with open_runtime(str(tiny_model), 1, scripted=False) as runtime:
        counts = [without_screen(runtime, 12, 7).num_tokens for _ in range(2)]
    assert counts[0] == counts[1] > 0


async def test_a_key_is_echoed_through_the_measuring_driver() -> None:
    app, driver, ended = await open_app(_never_called, (80, 24), begins=False)
    seconds = await asyncio.to_thread(driver.echo_seconds, "ж")
    text = app.chat.prompt.text
    app.exit()
    await ended
    assert text == "ж"
    assert 0 < seconds < 2 and driver.num_characters > 1000


def _never_called() -> ChatRuntime:
    raise AssertionError


@pytest.mark.slow
def test_a_start_in_a_terminal_is_timed_until_the_model_is_there(tmp_path: Path) -> None:
    start = measure_start(["--data-dir", str(tmp_path)])
    assert 0 < start.first_frame_seconds < start.ready_seconds
    assert len(start.echo_seconds) > 5


@pytest.mark.parametrize("words", [["--rounds", "-1"], ["--starts", "-1"], ["--tokens", "0"]])
def test_what_cannot_be_measured_is_refused(words: list[str]) -> None:
    with pytest.raises(InvalidArgument, match="must be at least"):
        ui.main(words)
