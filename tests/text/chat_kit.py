"""Chat: a conversation as a session keeps it, without session, model or store."""

from kvchat.text.chat_template import ChatTemplate
from kvchat.text.continuation import extend, text_of_reply
from kvchat.text.tokenizer import Tokenizer

DATE = "2025-03-09"


class Chat:
    """Messages, and the ids with the text they stand for: a prompt's text, and a reply's ids."""

    def __init__(self, tokenizer: Tokenizer, template: ChatTemplate) -> None:
        self.tokenizer = tokenizer
        self.template = template
        self.messages: list[dict[str, str]] = []
        self.ids: list[int] = []
        self.text = ""
        self.reply: list[int] = []
        self.kept = 0

    def ask(self, content: str, date: str = DATE) -> "Chat":
        """Send a message and prepare its prompt."""
        self.messages.append({"role": "user", "content": content})
        text = self.template.render(self.messages, add_generation_prompt=True, date=date)
        reply = text_of_reply(self.tokenizer, self.text, self.reply, text)
        old_text = self.text + reply
        ends = [(len(old_text), len(self.ids))] if self.reply else []
        self.kept, new = extend(self.tokenizer, self.ids, old_text, text, ends)
        self.ids = self.ids[: self.kept] + new
        self.text, self.reply = text, []
        return self

    def answer(self, ids: list[int], end: str = "") -> "Chat":
        """Take a reply and the token that ended it, which is kept but is no part of its text."""
        ended = [*ids, *self.tokenizer.encode_rendered(end)]
        self.ids = self.ids + ended
        self.reply = ended
        self.messages.append({"role": "assistant", "content": self.tokenizer.decode(ids)})
        return self
