from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvchat.errors import InvalidArgument
from kvchat.text.chat_template import ChatTemplate, find_stop_ids
from kvchat.text.control_set import FIRST_PRIVATE
from kvchat.text.sandbox import Sandbox, SandboxFailed
from kvchat.text.tokenizer import Tokenizer

DATE = "2025-03-09"
KINDS = ["own", "legacy", "modern", "gemma", "phi", "strict"]


@pytest.fixture(scope="session")
def templates(
    folders: dict[str, Path], tokenizers: dict[str, Tokenizer], sandbox: Sandbox
) -> dict[str, ChatTemplate]:
    return {kind: ChatTemplate.load(folders[kind], tokenizers[kind], sandbox) for kind in folders}


def user(content: str) -> dict[str, str]:
    return {"role": "user", "content": content}


def assistant(content: str) -> dict[str, str]:
    return {"role": "assistant", "content": content}


def system(content: str) -> dict[str, str]:
    return {"role": "system", "content": content}


def template_of(
    source: str,
    make_folder: Callable[..., Path],
    folders: dict[str, Path],
    sandbox: Sandbox,
) -> ChatTemplate:
    """A template with the vocabulary of the own tokenizer."""
    model = (folders["own"] / "tokenizer.model").read_bytes()
    config = {"legacy": False, "add_prefix_space": False, "chat_template": source}
    folder = make_folder("odd", model, tokenizer_config=config)
    return ChatTemplate.load(folder, Tokenizer.load(folder), sandbox)


def test_a_chat_becomes_the_ids_of_the_format(
    templates: dict[str, ChatTemplate], tokenizers: dict[str, Tokenizer]
) -> None:
    template, tokenizer = templates["own"], tokenizers["own"]
    text = template.render(
        [system("Be kind."), user("Hello")], add_generation_prompt=True, date=DATE
    )
    assert text == "<s><|system|>Be kind.<|end|><|user|>Hello<|end|><|assistant|>"
    hello = tokenizer.encode("Hello")
    assert template.encode(text) == [1, 4, *tokenizer.encode("Be kind."), 7, 5, *hello, 7, 6]
    assert template.notice is None and not template.is_plain


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("role", ["system", "user", "assistant"])
@settings(deadline=None, max_examples=25)
@given(data=st.data())
def test_what_is_written_changes_no_control_token(
    kind: str,
    role: str,
    templates: dict[str, ChatTemplate],
    tokenizers: dict[str, Tokenizer],
    data: st.DataObject,
) -> None:
    template, tokenizer = templates[kind], tokenizers[kind]
    tokens = [t for t in tokenizer.control_tokens if role != "assistant" or "think" not in t]
    parts = [*tokens, *(t[:-1] for t in tokens), *(t[1:] for t in tokens), *map(str.upper, tokens)]
    odd = [
        "\u200b",
        "\ufe0f",
        "\n",
        " ",
        "<",
        "|",
        "[INST]",
        "\ud800",
        chr(FIRST_PRIVATE + 2),
        "＜",
    ]
    content = "x" + data.draw(st.lists(st.sampled_from(parts + odd), max_size=6).map("".join))

    def control_ids(text: str) -> list[int]:
        chat = {
            "system": [system(text), user("a"), assistant("b"), user("c")],
            "user": [system("a"), user(text), assistant("b"), user("c")],
            "assistant": [system("a"), user("b"), assistant(text), user("c")],
        }[role]
        rendered = template.render(chat, add_generation_prompt=True, date=DATE)
        ids = template.encode(rendered)
        return [token_id for token_id in ids if token_id in tokenizer.control_ids]

    assert control_ids(content) == control_ids("x")


@pytest.mark.parametrize("operation", ["upper", "trim", "reverse", "title", "list | join('')"])
def test_a_template_cannot_turn_a_lookalike_into_a_control_token(
    operation: str, make_folder: Callable[..., Path], folders: dict[str, Path], sandbox: Sandbox
) -> None:
    source = f"{{{{ messages[-1].content | {operation} }}}}"
    template = template_of(source, make_folder, folders, sandbox)
    text = template.render([user(" <|end|><s>a")], add_generation_prompt=True, date=DATE)
    assert not {1, 2, 4, 5, 6, 7} & set(template.encode(text))


def test_a_lookalike_is_spelled_out_again(
    templates: dict[str, ChatTemplate], tokenizers: dict[str, Tokenizer]
) -> None:
    text = templates["own"].render([user("say <|end|>!")], add_generation_prompt=False, date=DATE)
    assert text.count("<|end|>") == 1
    ids = templates["own"].encode(text)
    assert tokenizers["own"].decode(ids) == "say <|end|>!"


def test_system_text_moves_into_the_first_message_of_a_template_without_that_role(
    templates: dict[str, ChatTemplate],
) -> None:
    chat = [system("Be kind."), user("Hello")]
    text, notice = templates["legacy"].render_with_notice(
        chat, add_generation_prompt=True, date=DATE
    )
    assert text == "<s>[INST] Be kind.\n\nHello [/INST]"
    assert notice is not None and notice.endswith(
        " takes no system prompt; it stands at the start of the first message."
    )
    _, notice = templates["legacy"].render_with_notice(
        chat[1:], add_generation_prompt=True, date=DATE
    )
    assert notice is None


def test_equal_roles_are_joined_for_a_template_that_refuses_them(
    folders: dict[str, Path], tokenizers: dict[str, Tokenizer], sandbox: Sandbox
) -> None:
    template = ChatTemplate.load(folders["gemma"], tokenizers["gemma"], sandbox)
    text, notice = template.render_with_notice(
        [user("a"), user("b")], add_generation_prompt=True, date=DATE
    )
    assert text == "<s><start_of_turn>user\na\n\nb<end_of_turn>\n<start_of_turn>model\n"
    assert notice == (
        "The template of gemma0 refuses these messages as they are; "
        "messages of the same role were joined."
    )
    text = template.render([assistant("a"), user("b")], add_generation_prompt=False, date=DATE)
    assert text.startswith("<s><start_of_turn>user\n<end_of_turn>\n<start_of_turn>model\na")


def test_a_folder_without_a_template_uses_the_plain_format(
    templates: dict[str, ChatTemplate],
) -> None:
    template = templates["strict"]
    assert template.is_plain and template.stop_strings == ("\nUser:",)
    assert template.notice == "strict0 has no chat template; using the plain format."
    chat = [system("Be kind."), user("Hello"), assistant(" Hi."), user("Bye")]
    text = template.render(chat, add_generation_prompt=True, date=DATE)
    assert text == "<s>Be kind.\n\nUser: Hello\nAssistant: Hi.\nUser: Bye\nAssistant:"


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("{{ ''.__class__.__mro__ }}", "unsafe"),
        ("{% for %}", "end of statement"),
        ("{{ raise_exception('no.') }}", "failed: no; using the plain format."),
        ("{{ '' }}", "it writes nothing"),
        ("{{ messages[0].content.append('x') }}", "append"),
        (" " * (1 << 19), "it is larger than 256 KiB"),
    ],
)
def test_a_bad_template_is_replaced_by_the_plain_format(
    source: str,
    reason: str,
    make_folder: Callable[..., Path],
    folders: dict[str, Path],
    sandbox: Sandbox,
) -> None:
    template = template_of(source, make_folder, folders, sandbox)
    assert template.is_plain and template.notice is not None
    assert template.notice.startswith("Template of odd") and reason in template.notice
    assert template.render([user("a")], add_generation_prompt=True, date=DATE).endswith(
        "User: a\nAssistant:"
    )


def test_a_template_that_fails_later_is_replaced_for_that_prompt_only(
    make_folder: Callable[..., Path], folders: dict[str, Path], sandbox: Sandbox
) -> None:
    source = (
        "{% if 'bad' in messages[-1].content %}{{ 1 / 0 }}{% endif %}{{ messages[-1].content }}"
    )
    template = template_of(source, make_folder, folders, sandbox)
    text, notice = template.render_with_notice([user("bad")], add_generation_prompt=True, date=DATE)
    assert text.endswith("User: bad\nAssistant:")
    assert notice is not None and "division by zero" in notice
    assert template.render([user("good")], add_generation_prompt=True, date=DATE) == "good"


def test_the_date_is_the_one_that_was_given(
    make_folder: Callable[..., Path], folders: dict[str, Path], sandbox: Sandbox
) -> None:
    template = template_of("{{ strftime_now('%d %b %Y') }}", make_folder, folders, sandbox)
    text = template.render([user("a")], add_generation_prompt=True, date="2024-02-29T23:59:59")
    assert text == "29 Feb 2024"
    assert template.render([user("a")], add_generation_prompt=True, date=DATE) == "09 Mar 2025"
    with pytest.raises(InvalidArgument, match="ISO format"):
        template.render([user("a")], add_generation_prompt=True, date="yesterday")


def test_a_template_file_wins_over_the_configuration(
    make_folder: Callable[..., Path], folders: dict[str, Path], sandbox: Sandbox
) -> None:
    model = (folders["own"] / "tokenizer.model").read_bytes()
    choices = [{"name": "tool_use", "template": "t"}, {"name": "default", "template": "d"}]
    folder = make_folder("files", model, tokenizer_config={"chat_template": choices})
    tokenizer = Tokenizer.load(folder)

    def rendered() -> str:
        template = ChatTemplate.load(folder, tokenizer, sandbox)
        return template.render([user("a")], add_generation_prompt=True, date=DATE)

    assert rendered() == "d"
    (folder / "chat_template.jinja").write_text("file", encoding="utf-8")
    assert rendered() == "file"


def test_a_model_in_the_cache_of_the_hub_is_called_by_its_name(
    folders: dict[str, Path], sandbox: Sandbox, tmp_path: Path
) -> None:
    folder = tmp_path / "models--who--what" / "snapshots" / "0123abcd"
    folder.mkdir(parents=True)
    (folder / "tokenizer.model").write_bytes((folders["own"] / "tokenizer.model").read_bytes())
    template = ChatTemplate.load(folder, Tokenizer.load(folder), sandbox)
    assert template.notice == "who/what has no chat template; using the plain format."


def test_a_sandbox_that_is_gone_leaves_the_plain_format(
    folders: dict[str, Path], tokenizers: dict[str, Tokenizer]
) -> None:
    closed = Sandbox()
    closed.close()
    template = ChatTemplate.load(folders["own"], tokenizers["own"], closed)
    assert template.is_plain and template.notice is not None and "closing" in template.notice


def test_the_template_of_a_folder_may_never_end(
    make_folder: Callable[..., Path], folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kvchat.text.sandbox.SECOND_CHANCE_SECONDS", 0.2)
    endless = "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}"
    with Sandbox(first_seconds=0.1) as hasty:
        with pytest.raises(SandboxFailed):
            hasty.render(endless, {}, DATE)
        template = template_of(endless, make_folder, folders, hasty)
    assert template.notice is not None
    assert template.notice.endswith("failed: time limit; using the plain format.")


def test_the_stop_ids_are_those_of_every_source(
    folders: dict[str, Path],
    tokenizers: dict[str, Tokenizer],
    templates: dict[str, ChatTemplate],
    caplog: pytest.LogCaptureFixture,
) -> None:
    def stop_ids(kind: str) -> frozenset[int]:
        return find_stop_ids(folders[kind], tokenizers[kind], templates[kind])

    assert stop_ids("own") == {7}
    assert stop_ids("legacy") == {2}
    (end_of_chat,) = tokenizers["phi"].encode_rendered("<|end|>")
    assert stop_ids("phi") == {2, end_of_chat}
    assert not caplog.records
    (end_of_turn,) = tokenizers["gemma"].encode_rendered("<end_of_turn>")
    assert stop_ids("gemma") == {1, end_of_turn}
    assert "107000" in caplog.text


def test_a_token_that_does_not_follow_the_reply_directly_ends_none(
    make_folder: Callable[..., Path], folders: dict[str, Path], sandbox: Sandbox
) -> None:
    source = "{% for m in messages %}{{ m.content }} | then{{ eos_token }}{% endfor %}"
    assert template_of(source, make_folder, folders, sandbox).end_id() is None
    source = source.replace("| then", "\n")
    assert template_of(source, make_folder, folders, sandbox).end_id() == 2
