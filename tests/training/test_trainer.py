"""Training learns, stops, resumes to the same weights, and writes a folder others can load."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from kvchat.errors import InvalidArgument, KVChatError
from kvchat.kv.contiguous import NoCache
from kvchat.training import trainer as training
from kvchat.training.config import SMOKE, Budget, Progress
from kvchat.training.corpus import END
from kvchat.training.export import export_model, write_whole
from kvchat.training.trainer import Trainer


def make_trainer(run: tuple[Path, Path], work: Path, *, pause_file: Path | None = None) -> Trainer:
    """A trainer with its own work folder and the shared tokenizer and token caches."""
    corpus, shared = run
    work.mkdir(exist_ok=True)
    for name in ("tokenizer.model", "tokens"):
        if not (work / name).exists():
            (work / name).symlink_to(shared / name)
    return Trainer(SMOKE, corpus, work, pause_file=pause_file)


def weights(trainer: Trainer) -> list[torch.Tensor]:
    return [parameter.detach().clone() for parameter in trainer.parameters]


def test_an_interrupted_run_ends_with_the_weights_of_an_uninterrupted_one(
    tiny_run: tuple[Path, Path], tmp_path: Path
) -> None:
    whole = make_trainer(tiny_run, tmp_path / "whole")
    assert whole.train(Budget(steps=8))
    for stop_at in (2, 5, 8):  # inside stage 1, inside stage 2, at the end
        part = make_trainer(tiny_run, tmp_path / "parts")
        assert part.resume() == (stop_at > 2)
        part.train(Budget(steps=8), should_stop=lambda: part.progress.step >= stop_at)  # noqa: B023
        part.close()
    resumed = make_trainer(tiny_run, tmp_path / "parts")
    assert resumed.resume()
    assert replace(resumed.progress, seconds=0) == replace(whole.progress, seconds=0)
    assert all(map(torch.equal, weights(resumed), weights(whole)))
    whole.close()
    resumed.close()


def test_steps_after_the_last_checkpoint_are_done_again_alike(
    tiny_run: tuple[Path, Path], tmp_path: Path
) -> None:
    killed = make_trainer(tiny_run, tmp_path)
    killed.step()
    killed.save_checkpoint()
    killed.step()
    expected = weights(killed)
    killed.close()
    again = make_trainer(tiny_run, tmp_path)
    again.resume()
    again.step()
    again.close()
    assert all(map(torch.equal, weights(again), expected))


def test_the_number_of_workers_changes_no_weight(
    tiny_run: tuple[Path, Path], tmp_path: Path
) -> None:
    results = []
    for workers in (1, 2):
        trainer = Trainer(SMOKE, tiny_run[0], tiny_run[1], workers=workers)
        for _ in range(3):
            trainer.step()
        trainer.close()
        results.append(weights(trainer))
    assert all(map(torch.equal, *results))


def test_training_lowers_the_loss(tiny_run: tuple[Path, Path], tmp_path: Path) -> None:
    trainer = make_trainer(tiny_run, tmp_path)
    trainer.progress.share = 0.1
    first = trainer.step()
    losses = [trainer.step() for _ in range(80)]
    trainer.close()
    # One step sees a few chats alone, some much easier than others, so ten are taken together.
    assert sum(losses[-10:]) / 10 < 0.8 * first, losses


def test_a_checkpoint_of_other_settings_is_refused(
    tiny_run: tuple[Path, Path], tmp_path: Path
) -> None:
    trainer = make_trainer(tiny_run, tmp_path)
    trainer.save_checkpoint()
    trainer.config = replace(SMOKE, seed=99)
    with pytest.raises(InvalidArgument, match="other settings"):
        trainer.resume()
    trainer.close()


def test_no_gradient_is_computed_while_the_pause_file_exists(
    tiny_run: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pause_file = tmp_path / "pause"
    pause_file.touch()
    waits: list[float] = []

    def wait(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) >= 3:  # both workers wait
            pause_file.unlink(missing_ok=True)

    monkeypatch.setattr("time.sleep", wait)
    trainer = make_trainer(tiny_run, tmp_path, pause_file=pause_file)
    trainer.step()
    trainer.close()
    assert len(waits) >= 3


def test_a_paused_run_can_be_stopped(tiny_run: tuple[Path, Path], tmp_path: Path) -> None:
    pause_file = tmp_path / "pause"
    pause_file.touch()
    trainer = make_trainer(tiny_run, tmp_path, pause_file=pause_file)
    asked = iter([False, False, False])
    assert not trainer.train(Budget(steps=5), should_stop=lambda: next(asked, True))
    trainer.close()
    assert trainer.progress.step == 0 and trainer.checkpoint_path.is_file()


def test_a_full_disk_ends_no_run_before_its_end(
    tiny_run: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise KVChatError("out cannot be written: no space left.")

    trainer = make_trainer(tiny_run, tmp_path)
    monkeypatch.setattr(training, "export_model", full)
    with pytest.raises(KVChatError, match="no space left"):
        trainer.train(Budget(steps=3), out=tmp_path / "out", export_minutes=0)
    trainer.close()
    assert trainer.progress.step == 3  # it failed after each step, too
    assert (tmp_path / "train.log").read_text().count("no space left") == 3
    assert trainer.checkpoint_path.is_file()


@pytest.mark.parametrize("keep", [0, 100, 5000])
def test_a_damaged_checkpoint_is_told_and_left_as_it_is(
    tiny_run: tuple[Path, Path], tmp_path: Path, keep: int
) -> None:
    trainer = make_trainer(tiny_run, tmp_path)
    trainer.save_checkpoint()
    cut = trainer.checkpoint_path.read_bytes()[:keep]
    trainer.checkpoint_path.write_bytes(cut)
    for load in (trainer.resume, trainer.extend):
        with pytest.raises(InvalidArgument, match=r"checkpoint\.safetensors is damaged"):
            load()
    trainer.close()
    assert trainer.checkpoint_path.read_bytes() == cut


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint"
    write_whole(path, lambda place: place.write_text("old"))

    def fail(place: Path) -> None:
        place.write_text("half")
        raise OSError("disk full")

    with pytest.raises(KVChatError, match="disk full; make room"):
        write_whole(path, fail)
    assert path.read_text() == "old"
    assert [each.name for each in tmp_path.iterdir()] == ["checkpoint"]  # no half file is left


def test_the_learning_rate_warms_up_stays_and_falls_to_its_floor(
    tiny_run: tuple[Path, Path], tmp_path: Path
) -> None:
    trainer = make_trainer(tiny_run, tmp_path)

    def factor(share: float) -> float:
        trainer.progress = Progress(share=share)
        return trainer.learning_rate_factor()

    assert factor(0.0) < factor(training.WARMUP / 2) < factor(training.WARMUP) == 1.0
    assert factor(SMOKE.stage_one_share) == 1.0
    assert factor(0.6) > factor(0.9) > factor(1.0) == pytest.approx(training.FLOOR)
    trainer.close()


def test_the_exported_folder_gives_equal_logits_in_transformers(
    tiny_run: tuple[Path, Path], tmp_path: Path
) -> None:
    import transformers

    trainer = make_trainer(tiny_run, tmp_path)
    trainer.step()
    trainer.close()
    export_model(trainer.model, trainer.tokenizer_path, tmp_path / "folder")
    other = transformers.AutoModelForCausalLM.from_pretrained(
        tmp_path / "folder", dtype=torch.float32
    )
    with torch.no_grad():
        for parameter in trainer.parameters:
            parameter.copy_(parameter.to(torch.bfloat16))
        ids = torch.randint(8, SMOKE.vocab_size, (70,), generator=torch.Generator().manual_seed(3))
        cache = NoCache(trainer.model.config.kv_spec())
        cache.reserve([(cache.open(), 70)])
        ours = trainer.model(ids, torch.arange(70), cache)
        theirs = other(ids[None]).logits[0]
    assert torch.allclose(ours, theirs, atol=1e-5)
    assert other.generation_config.eos_token_id == END


def test_a_finished_run_is_extended_over_answers_and_an_unfinished_extension_goes_on(
    tiny_run: tuple[Path, Path], tmp_path: Path
) -> None:
    first = make_trainer(tiny_run, tmp_path)
    assert first.train(Budget(steps=4))
    ended = weights(first)
    first.close()
    other = make_trainer(tiny_run, tmp_path)
    other.config = replace(SMOKE, num_drills=51)  # data may change, the shape may not
    assert other.extend()
    assert all(map(torch.equal, weights(other), ended))
    assert (other.progress.run, other.progress.share, other.progress.stage) == (1, 0.0, 1)
    other.train(Budget(steps=8), should_stop=lambda: other.progress.step >= 6)
    assert not all(map(torch.equal, weights(other), ended))
    other.close()
    again = make_trainer(tiny_run, tmp_path)
    assert again.extend()
    assert (again.progress.run, again.progress.step) == (1, 6)
    again.close()
    wider = make_trainer(tiny_run, tmp_path)
    wider.config = replace(SMOKE, hidden_size=64)
    with pytest.raises(InvalidArgument, match="other settings"):
        wider.extend()
    wider.close()


@pytest.mark.parametrize("peak", [training.EXTENSION_PEAK, 0.1])
def test_an_extension_warms_up_to_less_than_the_peak_and_ends_at_the_floor(
    tiny_run: tuple[Path, Path], tmp_path: Path, peak: float
) -> None:
    trainer = make_trainer(tiny_run, tmp_path)
    trainer.progress.run, trainer.extension_peak = 1, peak
    factors = []
    for share in (0.0, 0.01, training.WARMUP, 0.5, 1.0):
        trainer.progress.share = share
        factors.append(trainer.learning_rate_factor())
    trainer.close()
    assert factors[0] < factors[1] < factors[2] == pytest.approx(peak)
    assert factors[2] > factors[3] > factors[4] == pytest.approx(peak * training.FLOOR)
