"""`kvchat simulate`: users, crashes and the judge together."""

import json

import pytest

from kvchat.cli import main


def simulate(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, object]:
    """Run it and return the JSON line it prints last."""
    status = main(["simulate", *arguments])
    printed = capsys.readouterr().out.splitlines()
    document: dict[str, object] = json.loads(printed[-1])
    assert document["violations"] == [] and status == 0, printed
    return document


def count(document: dict[str, object], name: str) -> int:
    number = document[name]
    assert isinstance(number, int)
    return number


@pytest.mark.parametrize("seed", ["1"])
def test_a_few_users_lose_nothing_and_diverge_nowhere_when_their_runtime_is_killed(
    capsys: pytest.CaptureFixture[str], seed: str
) -> None:
    document = simulate(
        capsys, "--users", "24", "--seconds", "6", "--life-seconds", "3", "--seed", seed
    )
    assert document["divergent"] == 0 and document["seed"] == seed
    for name in ("crashes", "closes", "replies", "tokens_compared", "forks", "evictions"):
        assert count(document, name) > 0, name
    assert count(document, "messages_found_again") > 0


@pytest.mark.slow
@pytest.mark.parametrize("seed", ["1", "2", "3"])
def test_two_hundred_users_of_a_minute_lose_nothing_and_diverge_nowhere(
    capsys: pytest.CaptureFixture[str], seed: str
) -> None:
    document = simulate(capsys, "--users", "200", "--seconds", "60", "--seed", seed)
    assert document["divergent"] == 0
    # Preemptions are few, and on a busy machine none: they are told, not asserted.
    for name in ("crashes", "closes", "restores", "evictions", "stopped"):
        assert count(document, name) > 0, name
    assert count(document, "tokens_compared") > 2000


@pytest.mark.slow
def test_thirty_seconds_without_a_crash_leave_memory_and_files_flat(
    capsys: pytest.CaptureFixture[str],
) -> None:
    document = simulate(capsys, "--users", "64", "--seconds", "40", "--soak", "--seed", "5")
    assert count(document, "max_wal_bytes") <= 64 << 20
    assert count(document, "max_files") <= 4000
    growth = document["rss_growth_mib"]
    assert isinstance(growth, float) and growth <= 24.0


def test_bad_options_end_with_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", "--users", "0"]) == 2
    assert main(["simulate", "--seconds", "nan"]) == 2
    assert main(["simulate", "--users", "x"]) == 2
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 3 and all(line.startswith("kvchat: --") for line in said)
