"""One prompt to many forks: a message each, or all below one. Called with the lock held."""

from dataclasses import replace

from kvchat.errors import InvalidArgument
from kvchat.sampling_params import SamplingParams
from kvchat.session.reply import Reply
from kvchat.session.session import Session
from kvchat.session.talking import title_of

MAX_FORKS = 256
_SEEDS = 2**64


def fan_out(
    session: Session, text: str, count: int, sampling: SamplingParams | None
) -> list[Reply]:
    """Send a text in so many new forks of a session, with seeds of their own."""
    _check(session, text, count)
    forks = _forks(session, text, count)
    return [fork.send(text, _seeded(session, sampling, place)) for place, fork in enumerate(forks)]


def ask_often(
    session: Session, text: str, count: int, sampling: SamplingParams | None
) -> list[Reply]:
    """Say a text once below the end of a session, and answer it in so many new forks."""
    _check(session, text, count)
    forks = _forks(session, text, count)
    forks[0]._say(forks[0]._nodes(), text)
    path = forks[0]._nodes()
    for fork in forks[1:]:
        fork._move_to(path, push_undo=False)
    return [fork._start(_seeded(session, sampling, place)) for place, fork in enumerate(forks)]


def _forks(session: Session, text: str, count: int) -> list[Session]:
    """Return new forks, numbered behind the session's title, or behind what names a new one."""
    title = session._row.title or title_of(session._host.storable(text))
    return [session.fork(title=f"{title} {number}") for number in range(1, count + 1)]


def _check(session: Session, text: str, count: int) -> None:
    if not 1 <= count <= MAX_FORKS:
        raise InvalidArgument(f"The number of forks is {count}, but it must be 1 to {MAX_FORKS}.")
    if not text.strip():
        raise InvalidArgument("An empty message has nothing to answer.")
    session._check_idle()


def _seeded(session: Session, sampling: SamplingParams | None, place: int) -> SamplingParams:
    params = session.sampling if sampling is None else sampling
    return params if params.seed is None else replace(params, seed=(params.seed + place) % _SEEDS)
