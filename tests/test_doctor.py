"""kvchat doctor: finds nothing on a good cache, and finds what is planted."""

import json
from collections.abc import Sequence

import pytest

from kvchat import doctor
from kvchat.doctor_program import Findings, Program
from kvchat.errors import InvalidArgument
from kvchat.kv import shared_runs
from kvchat.kv.block_pool import BlockPool
from kvchat.kv.prefix_index import PrefixIndex
from kvchat.kv.step import Step
from kvchat.kv.storage import BlockCopy, KVStorage
from kvchat.native.kernels import Kernels


def report(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, object]]:
    status = doctor.main([*arguments, "--processes", "1", "--device", "cpu"])
    return status, json.loads(capsys.readouterr().out.strip().splitlines()[-1])


def test_a_good_cache_has_no_violation(capsys: pytest.CaptureFixture[str]) -> None:
    status, found = report(capsys, "--operations", "5000", "--json")
    assert status == 0 and found["violations"] == 0
    assert int(str(found["operations"])) >= 5000 and int(str(found["tokens_compared"])) > 5000


@pytest.mark.parametrize(
    "arguments", [["--operations", "0"], ["--operations", "-5"], ["--seconds", "0"]], ids=" ".join
)
def test_a_check_of_nothing_is_refused(arguments: list[str]) -> None:
    with pytest.raises(InvalidArgument, match="above 0"):
        doctor.main(arguments)


def test_some_programs_go_through_real_attention() -> None:
    findings = Findings()
    models = [Program(seed, "cpu", findings).model for seed in range(300)]
    assert sum(model is not None for model in models) >= 6


def plant_a_copy_one_slot_short(patch: pytest.MonkeyPatch) -> None:
    copy = KVStorage.copy_blocks

    def short(self: KVStorage, copies: Sequence[BlockCopy]) -> None:
        copy(self, [(source, target, valid - 1) for source, target, valid in copies if valid > 1])

    patch.setattr(KVStorage, "copy_blocks", short)


def plant_a_write_into_published_blocks(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(BlockPool, "is_writable", lambda self, block: self.ref_counts[block] == 1)


def plant_a_forgotten_decrement(patch: pytest.MonkeyPatch) -> None:
    release = BlockPool.release

    def forget(self: BlockPool, block: int) -> None:
        if self.ref_counts[block] != 3:
            release(self, block)

    patch.setattr(BlockPool, "release", forget)


def plant_hits_without_comparing_keys(patch: pytest.MonkeyPatch) -> None:
    def find(self: PrefixIndex, key: bytes, token_ids: Sequence[int]) -> int | None:
        for block, (_, tokens) in self._entries.items():
            if tokens == tuple(token_ids):
                return block
        return None

    patch.setattr(PrefixIndex, "find", find)


def plant_a_rollback_that_keeps_blocks(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Step, "_give_back", lambda self, row: None)


def plant_rows_that_share_more_than_they_have_in_common(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(
        shared_runs, "_num_common", lambda one, other, first, behind: max(0, behind - first)
    )


@pytest.mark.parametrize(
    "plant",
    [
        plant_a_copy_one_slot_short,
        plant_a_write_into_published_blocks,
        plant_a_forgotten_decrement,
        plant_hits_without_comparing_keys,
        plant_a_rollback_that_keeps_blocks,
        plant_rows_that_share_more_than_they_have_in_common,
    ],
)
def test_a_planted_bug_is_found_and_replayed(
    plant: object, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert callable(plant)
    plant(monkeypatch)
    # From 139 on there is a program of each kind of attention. What is planted is in the plain
    # path, which a kernel that somebody compiled here would stand in for.
    options = ("--kernel", "torch", "--json")
    status, found = report(capsys, "--operations", "6000", "--seed", "139", *options)
    assert status == 1
    seeds = found["failed_seeds"]
    assert isinstance(seeds, list)
    replayed, again = report(capsys, "--operations", "1", "--seed", str(seeds[0]), *options)
    assert replayed == 1 and again["failed_seeds"] == [seeds[0]]
    monkeypatch.undo()
    assert report(capsys, "--operations", "1", "--seed", str(seeds[0]), "--json")[0] == 0


@pytest.mark.parametrize("seed", [20, 40, 60])
def test_the_native_kernel_attends_to_the_right_slots(kernels: Kernels, seed: int) -> None:
    findings = Findings()
    program = Program(seed, "cpu", findings, kernels)
    assert all(each is not None for each in program.cache.kernel_attention)
    program.run(60)
    assert findings.tokens_compared > 0
