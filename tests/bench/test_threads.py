"""Threads beside a busy core are measured end to end, and nothing stays busy afterwards."""

import json
import os
from pathlib import Path

import pytest

from kvchat.bench.busy_core import BusyCore
from kvchat.bench.threads import main
from kvchat.errors import InvalidArgument


def test_every_number_of_threads_is_told_with_and_without_a_busy_core(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["--shape", "tiny", "--kernel", "torch", "--rounds", "1", "--alone"]) == 0
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    for how in ("1 | quiet", "2 | quiet", "1 | busy", "2 | busy"):
        assert found["samples"][f"kvchat fp32 | 8 streams | {how}"]["median_wall_seconds"] > 0
    assert [figure["must"] for figure in found["figures"]] == [1.0, 1.0]
    assert len(found["tables"][0]["rows"][0]) == 9


def test_the_busy_process_ends_with_its_block() -> None:
    with BusyCore() as busy:
        process = busy._process
        assert process.poll() is None and busy.processor in os.sched_getaffinity(0)
    assert process.poll() is not None
    assert not Path(f"/proc/{process.pid}").exists()


@pytest.mark.parametrize("arguments", [["--rounds", "0"], ["--weights", "fp8"]])
def test_what_cannot_be_measured_is_refused(arguments: list[str]) -> None:
    with pytest.raises(InvalidArgument):
        main(arguments)
