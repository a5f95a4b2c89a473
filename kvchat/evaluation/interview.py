"""Interview: a model answers the prompts as it would answer a user, many chats at once.

Each chat is a session of a `ChatRuntime` with what the model's folder advises for sampling. A chat
has its own seed, made of the run's seed and the prompt's place, so a run can be repeated.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from kvchat.errors import ContextTooLong, ReplyFailed
from kvchat.evaluation.answer import Answer
from kvchat.evaluation.prompt_list import Prompt
from kvchat.runtime import ChatRuntime
from kvchat.session.reply import Reply

MAX_TOKENS = 320
"""An answer that has not ended by then does not end by itself, as far as a user waits for it."""
CHATS_AT_ONCE = 32
SEED_STEP = 1000


@dataclass(frozen=True)
class Chat:
    """One prompt with the answers it got in the run of one seed."""

    prompt: Prompt
    seed: int
    answers: tuple[Answer, ...]

    @cached_property
    def failures(self) -> list[str]:
        """Why it is not acceptable; [] if it is."""
        return self.prompt.failures(self.answers)

    @property
    def is_acceptable(self) -> bool:
        """Whether all checks of the prompt pass."""
        return not self.failures


def interview(
    runtime: ChatRuntime,
    prompts: Sequence[Prompt],
    seed: int,
    sampling: Mapping[str, object] | None = None,
    on_progress: Callable[[int], None] = lambda num_chats: None,
) -> list[Chat]:
    """Have all prompts answered, in their order; each chat is deleted when it has ended.

    `sampling` replaces fields of what the model advises. `on_progress` gets the number of chats
    that have ended. Raises InvalidArgument for bad sampling, ReplyFailed when the model fails; a
    chat that fills the context of the model gets empty answers from there on.
    """
    chats: list[Chat] = []
    for start in range(0, len(prompts), CHATS_AT_ONCE):
        some = prompts[start : start + CHATS_AT_ONCE]
        first_seed = seed * SEED_STEP + start
        answers = _talk(runtime, some, first_seed, sampling or {})
        chats += [
            Chat(prompt, seed, tuple(said)) for prompt, said in zip(some, answers, strict=True)
        ]
        on_progress(len(chats))
    return chats


def _talk(
    runtime: ChatRuntime,
    prompts: Sequence[Prompt],
    first_seed: int,
    sampling: Mapping[str, object],
) -> list[list[Answer]]:
    sessions = [runtime.new_session() for _ in prompts]
    answers: list[list[Answer]] = [[] for _ in prompts]
    try:
        for place, session in enumerate(sessions):
            own = {"max_tokens": MAX_TOKENS, "seed": first_seed + place, **sampling}
            session.set_sampling(session.sampling.with_values(own))
        for turn in range(max(len(prompt.says) for prompt in prompts)):
            replies = {
                place: sessions[place].send(prompt.says[turn])
                for place, prompt in enumerate(prompts)
                if turn < len(prompt.says)
            }
            for place, reply in replies.items():
                answers[place].append(_answer(reply))
    finally:
        for session in sessions:
            session.delete()
    return answers


def _answer(reply: Reply) -> Answer:
    try:
        message = reply.wait()
    except ReplyFailed:
        if reply.error_code != ContextTooLong.code:
            raise
        return Answer("", "context", 0)
    return Answer(message.text, message.finish_reason or "", reply.num_generated_tokens)
