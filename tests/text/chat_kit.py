"""Chat: a conversation as a session keeps it, without session, model or store."""

from kvchat.text.chat_template import ChatTemplate
from kvchat.text.continuation import extend
from kvchat.text.tokenizer import Tokenizer

DATE = "2025-03-09"


class Chat:
    """Messages, and the ids with the text they stand for."""

    def __init__(self, tokenizer: Tokenizer, template: ChatTemplate) -> None:
        self.tokenizer = tokenizer
        self.template = template
        self.messages: list[dict[str, str]] = []
        self.ids: list[int] = []
        self.text = ""
        self.reply_ends: list[tuple[int, int]] = []
        self.kept = 0

    def ask(self, content: str, date: str = DATE) -> "Chat":
        """Send a message and prepare its prompt."""
        self.messages.append({"role": "user", "content": content})
        text = self.template.render(self.messages, add_generation_prompt=True, date=date)
        self.kept, new = extend(self.tokenizer, self.ids, self.text, text, self.reply_ends)
        self.ids = self.ids[: self.kept] + new
        self.text = text
        return self

    def answer(self, ids: list[int], end: str = "") -> "Chat":
        """Take a reply and the token that ended it, which is kept but is no part of its text."""
        ended = [*ids, *self.tokenizer.encode_rendered(end)]
        self.ids = self.ids + ended
        self.text += self.tokenizer.decode_raw(ended)
        self.reply_ends.append((len(self.text), len(self.ids)))
        self.messages.append({"role": "assistant", "content": self.tokenizer.decode(ids)})
        return self
