"""kvchat: many local LLM chats at once, all in one paged KV cache.

    from kvchat import ChatRuntime, SamplingParams

    with ChatRuntime() as runtime:
        chat = runtime.new_session(system="You are terse.")
        for piece in chat.send("Tell me a story."):
            print(piece, end="", flush=True)

The names below are loaded when they are first used, so that `import kvchat` costs nothing.
"""

from importlib import import_module

TYPE_CHECKING = False  # the name that type checkers know; `typing` would be half of this import
__version__ = "0.1.0"

_HOMES = {
    "ChatRuntime": "kvchat.runtime",
    "RuntimeStats": "kvchat.runtime",
    "RuntimeStatus": "kvchat.runtime",
    "Session": "kvchat.session.session",
    "RewindPlan": "kvchat.session.rewind_plan",
    "SessionStats": "kvchat.session.session_state",
    "MessageTree": "kvchat.session.tree",
    "TreeNode": "kvchat.session.tree",
    "ResumeCost": "kvchat.engine.sequence",
    "TokenAlternative": "kvchat.session.alternatives",
    "TokenPosition": "kvchat.session.alternatives",
    "DeletedSession": "kvchat.session.archive",
    "SearchHit": "kvchat.session.archive",
    "Message": "kvchat.session.message",
    "Reply": "kvchat.session.reply",
    "SamplingParams": "kvchat.sampling_params",
    "PagedKVCache": "kvchat.kv.paged_cache",
    "DynamicCache": "kvchat.kv.contiguous",
    "NoCache": "kvchat.kv.contiguous",
    "StaticCache": "kvchat.kv.contiguous",
}
_ERRORS = (
    "ContextTooLong",
    "DataDirInUse",
    "DatabaseDamaged",
    "EngineStopped",
    "InvalidArgument",
    "KVChatError",
    "ModelError",
    "NotSaving",
    "PoolTooSmall",
    "ReplyFailed",
    "SessionBusy",
    "SessionClosed",
    "SessionNotFound",
)
_HOMES |= dict.fromkeys(_ERRORS, "kvchat.errors")

__all__ = ["__version__", *sorted(_HOMES)]

if TYPE_CHECKING:
    from kvchat.engine.sequence import ResumeCost as ResumeCost
    from kvchat.errors import ContextTooLong as ContextTooLong
    from kvchat.errors import DatabaseDamaged as DatabaseDamaged
    from kvchat.errors import DataDirInUse as DataDirInUse
    from kvchat.errors import EngineStopped as EngineStopped
    from kvchat.errors import InvalidArgument as InvalidArgument
    from kvchat.errors import KVChatError as KVChatError
    from kvchat.errors import ModelError as ModelError
    from kvchat.errors import NotSaving as NotSaving
    from kvchat.errors import PoolTooSmall as PoolTooSmall
    from kvchat.errors import ReplyFailed as ReplyFailed
    from kvchat.errors import SessionBusy as SessionBusy
    from kvchat.errors import SessionClosed as SessionClosed
    from kvchat.errors import SessionNotFound as SessionNotFound
    from kvchat.kv.contiguous import DynamicCache as DynamicCache
    from kvchat.kv.contiguous import NoCache as NoCache
    from kvchat.kv.contiguous import StaticCache as StaticCache
    from kvchat.kv.paged_cache import PagedKVCache as PagedKVCache
    from kvchat.runtime import ChatRuntime as ChatRuntime
    from kvchat.runtime import RuntimeStats as RuntimeStats
    from kvchat.runtime import RuntimeStatus as RuntimeStatus
    from kvchat.sampling_params import SamplingParams as SamplingParams
    from kvchat.session.alternatives import TokenAlternative as TokenAlternative
    from kvchat.session.alternatives import TokenPosition as TokenPosition
    from kvchat.session.archive import DeletedSession as DeletedSession
    from kvchat.session.archive import SearchHit as SearchHit
    from kvchat.session.message import Message as Message
    from kvchat.session.reply import Reply as Reply
    from kvchat.session.rewind_plan import RewindPlan as RewindPlan
    from kvchat.session.session import Session as Session
    from kvchat.session.session_state import SessionStats as SessionStats
    from kvchat.session.tree import MessageTree as MessageTree
    from kvchat.session.tree import TreeNode as TreeNode


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'kvchat' has no attribute '{name}'")
    return getattr(import_module(home), name)


def __dir__() -> list[str]:
    return __all__
