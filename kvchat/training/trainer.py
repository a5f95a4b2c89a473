"""Trainer: model, optimisers and data of a run, resumable, through NoCache.

Stage 1 learns every token of short texts and chats, stage 2 only what the assistant says. The
learning rate follows the share of the budget that is spent, so it reaches its floor exactly at the
end. Everything a resumed run needs is in one checkpoint file, and a micro-batch depends on the seed
and its number alone, so an interrupted run of a given number of steps ends with the weights of an
uninterrupted one.
"""

import json
import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional

from kvchat.errors import InvalidArgument, KVChatError
from kvchat.kv.contiguous import NoCache
from kvchat.model.transformer import Transformer
from kvchat.training.config import MAX_POSITION, Budget, Progress, TrainingConfig
from kvchat.training.corpus import (
    ANSWERS,
    ASSISTANT,
    CHAT,
    DRILLS,
    END,
    NAME,
    TEMPLATES,
    TEXT,
    BatchPlan,
    Documents,
    Message,
    MicroBatch,
    cached_documents,
    chat_tokens,
    encode_records,
    load_tokenizer,
    train_tokenizer,
)
from kvchat.training.drills.chats import drill_records
from kvchat.training.export import export_model, make_folder, write_whole

CHECKPOINT = "checkpoint.safetensors"
WARMUP = 0.02  # share of the budget
FLOOR = 0.02  # of the peak learning rate
WEIGHT_DECAY = 0.1
MAX_GRADIENT_NORM = 1.0
EXTENSION_PEAK = 0.6  # of the peak learning rate, where a finished run is extended

PROMPTS: tuple[tuple[str, ...], ...] = (
    ("Hello!", "Who are you?"),
    ("Hi, my name is Anna.", "I like to read books.", "What is my name?"),
    ("My cat is called Milo. He is three years old.", "Tell me a joke.", "What is my cat called?"),
    ("Tell me a short story about a small dog.", "What was the dog called?"),
    ("What is the capital of France?", "And of Italy?"),
    ("What is 3 + 4?", "Now add 5."),
    ("Name three fruits.", "One more, please."),
    ("I feel sad today.", "Thank you. Goodbye!"),
)
"""Chats whose answers are written to the log at each evaluation."""


class Trainer:
    """Model, optimisers and data of one run. `work` holds its checkpoint, token caches and log."""

    def __init__(
        self,
        config: TrainingConfig,
        corpus: Path,
        work: Path,
        *,
        workers: int = 2,
        pause_file: Path | None = None,
        extension_peak: float = EXTENSION_PEAK,
    ) -> None:
        make_folder(work)
        self.config, self.work, self.workers = config, work, workers
        self.pause_file = pause_file
        self.extension_peak = extension_peak
        self.tokenizer_path = work / "tokenizer.model"
        if not self.tokenizer_path.is_file():
            train_tokenizer(corpus, self.tokenizer_path, config.vocab_size, max_records=40_000)
        self.tokenizer = load_tokenizer(self.tokenizer_path)
        name = self.tokenizer.encode(NAME)
        self.name_id = name[0] if len(name) == 1 else None

        def documents(part: str, split: str) -> Documents | None:
            return cached_documents(corpus, part, split, self.tokenizer_path, work / "tokens")

        found = {part: documents(part, "train") for part in (TEXT, CHAT, ANSWERS, TEMPLATES)}
        self.parts = {part: docs for part, docs in found.items() if docs is not None}
        drills = drill_records(config.num_drills, config.seed)
        self.parts[DRILLS] = encode_records(drills, self.tokenizer)
        self.validation = {part: documents(part, "val") for part in (TEXT, CHAT, ANSWERS)}
        self.model = Transformer(config.model())
        self.model.initialize(torch.Generator().manual_seed(config.seed))
        self.parameters = list(self.model.parameters())
        self.names = [name for name, _ in self.model.named_parameters()]
        self.optimizers = self._optimizers()
        self.progress = Progress()
        self.plan: BatchPlan | None = None
        self.pool = ThreadPoolExecutor(workers)
        self.should_stop: Callable[[], bool] = lambda: False

    def _optimizers(self) -> list[torch.optim.Optimizer]:
        # Muon (Jordan et al. 2024) for matrices of layers, one optimizer per worker so that their
        # orthogonalisations run side by side; AdamW for the embedding and the norms.
        matrices = [p for p, n in self._named() if p.ndim == 2 and n.startswith("layers.")]
        others = [p for p, n in self._named() if not (p.ndim == 2 and n.startswith("layers."))]
        muons: list[torch.optim.Optimizer] = [
            torch.optim.Muon(
                matrices[start :: self.workers],
                lr=self.config.muon_learning_rate,
                weight_decay=WEIGHT_DECAY,
                momentum=0.95,
                adjust_lr_fn="match_rms_adamw",
            )
            for start in range(min(self.workers, len(matrices)))
        ]
        adam = torch.optim.AdamW(
            others, lr=self.config.adam_learning_rate, betas=(0.9, 0.95), weight_decay=0.0
        )
        return [*muons, adam]

    def _named(self) -> list[tuple[Tensor, str]]:
        return list(zip(self.parameters, self.names, strict=True))

    # -- one step ---------------------------------------------------------------------------------

    def step(self) -> float:
        """Train on the next micro-batches and return the mean loss per target, in nats."""
        progress, config = self.progress, self.config
        stage = int(progress.run > 0 or progress.share >= config.stage_one_share)
        if stage != progress.stage:
            progress.stage, progress.stage_step, self.plan = stage, 0, None
        if self.plan is None:
            row_tokens = config.row_tokens if stage == 0 else MAX_POSITION
            self.plan = BatchPlan(
                self.parts,
                stage,
                config.seed + progress.run,
                config.micro_batch_tokens,
                row_tokens,
                self.name_id,
            )
        count = config.stage_two_micro_batches if stage else config.stage_one_micro_batches
        first = progress.stage_step * count
        batches = [self.plan.micro_batch(first + k) for k in range(count)]
        num_targets = max(1, sum(batch.num_targets for batch in batches))
        results = list(self.pool.map(self._gradient, batches))
        for index, parameter in enumerate(self.parameters):
            # Summed in the order of the micro-batches, whoever finished first.
            total = sum((gradients[index] for _, gradients in results[1:]), results[0][1][index])
            parameter.grad = total / num_targets
        torch.nn.utils.clip_grad_norm_(self.parameters, MAX_GRADIENT_NORM)
        factor = self.learning_rate_factor()
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = factor * group.setdefault("peak_lr", group["lr"])
        list(self.pool.map(lambda optimizer: optimizer.step(), self.optimizers))
        loss = sum(loss for loss, _ in results) / num_targets
        progress.step += 1
        progress.stage_step += 1
        progress.tokens += sum(batch.ids.size for batch in batches)
        progress.targets += num_targets
        keep = min(0.98, 1 - 1 / progress.stage_step)
        progress.loss = keep * progress.loss + (1 - keep) * loss
        return loss

    def learning_rate_factor(self) -> float:
        """Warm-up, then constant through stage 1, then straight down to the floor.

        An extension warms up to a part of the peak and goes down from there.
        """
        share, split = self.progress.share, self.config.stage_one_share
        if self.progress.run > 0:
            return self.extension_peak * min(
                max(share, 1e-3) / WARMUP, FLOOR + (1 - FLOOR) * (1 - share) / (1 - WARMUP)
            )
        if share < WARMUP:
            return max(share, 1e-3) / WARMUP
        return FLOOR + (1 - FLOOR) * min(1.0, max(0.0, (1 - share) / (1 - split)))

    def _gradient(self, batch: MicroBatch) -> tuple[float, tuple[Tensor, ...]]:
        # autograd.grad leaves `.grad` alone, so workers need no model of their own.
        self.wait_while_paused()
        loss = self._loss(batch)
        return loss.item(), torch.autograd.grad(loss, self.parameters)

    def _loss(self, batch: MicroBatch) -> Tensor:
        num_rows, length = batch.ids.shape
        cache = NoCache(self.model.config.kv_spec(), fused=True)
        step = cache.reserve([(cache.open(), length) for _ in range(num_rows)])
        targets = torch.from_numpy(batch.targets).flatten()  # [T]
        rows = torch.nonzero(targets >= 0).flatten()  # [R]
        positions = torch.arange(length).repeat(num_rows)
        with torch.autocast("cpu", torch.bfloat16, enabled=self.config.bfloat16):
            token_ids = torch.from_numpy(batch.ids).flatten()
            logits = self.model(token_ids, positions, cache, rows)  # [R, V]
        step.rollback()
        return functional.cross_entropy(logits.float(), targets[rows], reduction="sum")

    def wait_while_paused(self) -> None:
        """Return when the pause file, if one was named, does not exist, or the run shall stop."""
        while self.pause_file is not None and self.pause_file.exists() and not self.should_stop():
            time.sleep(0.2)

    # -- the run ----------------------------------------------------------------------------------

    def train(
        self,
        budget: Budget,
        *,
        out: Path | None = None,
        checkpoint_minutes: float = 5.0,
        evaluate_minutes: float = 15.0,
        export_minutes: float = 25.0,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> bool:
        """Train until the budget is spent; return False when `should_stop` ended it before.

        Writes a checkpoint now and then and at the end, and the model folder `out` likewise. What
        cannot be written in between is a line of the log; at the end it raises KVChatError.
        """
        progress, self.should_stop = self.progress, should_stop
        clock = time.monotonic if budget.cpu_minutes is None else time.process_time
        last = dict.fromkeys(("checkpoint", "evaluate", "export"), time.monotonic())
        last["log"] = 0.0
        while progress.share < 1.0 and not should_stop():
            self.wait_while_paused()
            if should_stop():
                break
            started = clock()
            loss = self.step()
            seconds, now = clock() - started, time.monotonic()
            progress.seconds += seconds
            progress.share = budget.advance(progress.share, progress.step, seconds)
            if now - last["log"] > 20:
                last["log"] = now
                self.log(
                    f"step {progress.step} stage {progress.stage + 1} {progress.share:.2%} loss "
                    f"{loss:.3f} mean {progress.loss:.3f} tokens {progress.tokens:,} "
                    f"{progress.tokens / progress.seconds:,.0f}/s"
                )
            if now - last["evaluate"] > 60 * evaluate_minutes:
                last["evaluate"] = now
                self.evaluate()
            if now - last["checkpoint"] > 60 * checkpoint_minutes:
                last["checkpoint"] = now
                self._try(self.save_checkpoint)
            if out is not None and now - last["export"] > 60 * export_minutes:
                last["export"] = now
                if self._try(lambda: export_model(self.model, self.tokenizer_path, out)):
                    self.log(f"exported to {out.name}")
        self.save_checkpoint()
        if progress.share < 1.0:
            return False
        self.evaluate()
        if out is not None:
            export_model(self.model, self.tokenizer_path, out)
            self.log(f"exported to {out.name}; done")
        return True

    def _try(self, write: Callable[[], object]) -> bool:
        """Write what is written again later, and say so where it fails: the run is worth more."""
        try:
            write()
        except KVChatError as error:
            self.log(error.sentence)
            return False
        return True

    def log(self, text: str) -> None:
        """Print a line and append it to the log."""
        line = f"{datetime.now(UTC):%H:%M:%S} {text}"
        print(line, flush=True)
        with (self.work / "train.log").open("a", encoding="utf-8") as log:
            log.write(line + "\n")

    # -- evaluation -------------------------------------------------------------------------------

    def evaluate(self) -> None:
        """Log bits per byte of the validation files and the answers to the fixed prompts."""
        figures = []
        for part, documents in self.validation.items():
            if documents is not None:
                bits = self.bits_per_byte(documents, 60, answers_only=part == ANSWERS)
                figures.append(f"{part} {bits:.3f}")
        self.log("validation, bits per byte: " + ", ".join(figures))
        for user_texts in PROMPTS:
            self.log(" | ".join(self.converse(user_texts)))

    @torch.no_grad()
    def bits_per_byte(self, documents: Documents, limit: int, *, answers_only: bool) -> float:
        """Return the loss in bits over the UTF-8 bytes of the text that was to be predicted.

        Takes up to `limit` documents at even distances, each cut to the context of the model.
        """
        total, num_bytes = 0.0, 0
        for document in range(0, len(documents), max(1, len(documents) // limit)):
            first, last = documents.starts[document : document + 2]
            span = slice(first, min(last, first + MAX_POSITION + 1))
            ids = documents.ids[span].astype("int64")
            is_target = documents.is_answer[span] if answers_only else ids >= 0
            targets = ids[1:].copy()
            targets[~is_target[1:]] = -1
            total += float(self._loss(MicroBatch(ids[None, :-1], targets[None])))
            num_bytes += len(self.tokenizer.decode(targets[targets >= 0].tolist()).encode())
        return total / math.log(2) / max(1, num_bytes)

    def converse(self, user_texts: Sequence[str], max_tokens: int = 80) -> list[str]:
        """Return the chat that results when each text is answered greedily."""
        messages: list[Message] = []
        for text in user_texts:
            messages.append(Message("user", text))
            prompt = [*chat_tokens(self.tokenizer, messages)[0], ASSISTANT]
            messages.append(Message("assistant", self._answer(prompt, max_tokens)))
        return [message.content for message in messages]

    @torch.no_grad()
    def _answer(self, prompt: list[int], max_tokens: int) -> str:
        answer: list[int] = []
        while len(answer) < max_tokens:
            ids = torch.tensor(prompt + answer)
            cache = NoCache(self.model.config.kv_spec(), fused=True)
            step = cache.reserve([(cache.open(), len(ids))])
            logits = self.model(ids, torch.arange(len(ids)), cache, torch.tensor([len(ids) - 1]))
            step.rollback()
            token = int(logits[0].argmax())
            if token == END:
                break
            answer.append(token)
        return str(self.tokenizer.decode(answer)) + ("" if len(answer) < max_tokens else " ...")

    # -- checkpoints ------------------------------------------------------------------------------

    @property
    def checkpoint_path(self) -> Path:
        """The file a run resumes from."""
        return self.work / CHECKPOINT

    def save_checkpoint(self) -> None:
        """Write weights, moments and progress to one file, whole or not at all."""
        tensors = {f"weight.{name}": p.detach() for p, name in self._named()}
        names = {id(p): name for p, name in self._named()}
        for optimizer in self.optimizers:
            for parameter, moments in optimizer.state.items():
                for key, value in moments.items():
                    tensors[f"moment.{key}.{names[id(parameter)]}"] = value
        facts = {"config": asdict(self.config), "progress": asdict(self.progress)}
        metadata = {"kvchat": json.dumps(facts)}
        write_whole(self.checkpoint_path, lambda path: save_file(tensors, str(path), metadata))

    def resume(self) -> bool:
        """Continue from the checkpoint of this folder; return False when there is none."""
        return self._load(lambda facts: facts["config"] == asdict(self.config))

    def extend(self) -> bool:
        """Begin another run over answers where a finished one ended; resume an unfinished one.

        The checkpoint may be of other settings, if they gave a model of the same shape.
        """
        size = asdict(self.config.model())
        if not self._load(
            lambda facts: asdict(replace(self.config, **facts["config"]).model()) == size
        ):
            return False
        if self.progress.share >= 1.0:
            self.progress.run += 1
            self.progress.share, self.progress.stage, self.progress.stage_step = 0.0, 1, 0
        return True

    def _load(self, fits: Callable[[dict[str, Any]], bool]) -> bool:
        if not self.checkpoint_path.is_file():
            return False
        parameters = {name: p for p, name in self._named()}
        with ExitStack() as stack:
            try:
                file = stack.enter_context(safe_open(str(self.checkpoint_path), "pt"))
                facts = json.loads((file.metadata() or {})["kvchat"])
            except (OSError, SafetensorError, KeyError, ValueError) as error:
                raise InvalidArgument(
                    f"{self.checkpoint_path} is damaged, and was left as it is; put a copy of it "
                    "in its place, or use another --work."
                ) from error
            if not fits(facts):
                raise InvalidArgument(
                    f"{self.checkpoint_path} belongs to other settings; use another --work."
                )
            owners = {
                id(p): o for o in self.optimizers for g in o.param_groups for p in g["params"]
            }
            for full_name in file.keys():  # noqa: SIM118 - not a dict
                kind, _, name = full_name.partition(".")
                tensor = file.get_tensor(full_name)
                if kind == "weight":
                    parameters[name].data.copy_(tensor)
                else:
                    key, _, name = name.partition(".")
                    parameter = parameters[name]
                    owners[id(parameter)].state[parameter][key] = tensor
        self.progress = Progress(**facts["progress"])
        self.plan = None
        return True

    def close(self) -> None:
        """End the worker threads."""
        self.pool.shutdown()
