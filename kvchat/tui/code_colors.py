"""Colours for lines of code, one line at a time.

A small scanner of our own instead of a lexer library: what a line needs from the lines above is
one word of state (an open comment or string), so a streamed block is coloured like a whole one and
an append costs one line. Knows keywords, strings, comments and numbers; no grammar.
"""

import re
from dataclasses import dataclass

from kvchat.tui.cells import Span

MAX_LINE = 2_000
"""Longer lines are shown plain."""

_C_WORDS = (
    "auto bool break case char class const continue default delete do double else enum extern "
    "false float for friend goto if inline int long namespace new nullptr operator private "
    "protected public return short signed sizeof static struct switch template this throw true "
    "try typedef typename union unsigned using virtual void volatile while"
)
_WORDS = {
    "python": "and as assert async await break case class continue def del elif else except "
    "False finally for from global if import in is lambda match None nonlocal not or pass raise "
    "return self True try while with yield",
    "javascript": "async await break case catch class const continue debugger default delete do "
    "else enum export extends false finally for function if implements import in instanceof "
    "interface let new null of return static super switch this throw true try type typeof "
    "undefined var void while yield",
    "c": _C_WORDS,
    "java": "abstract assert boolean break byte case catch char class const continue default do "
    "double else enum extends false final finally float for fun if implements import instanceof "
    "int interface long new null object override package private protected public return short "
    "static super switch synchronized this throw throws true try val var void while when",
    "rust": "as async await break const continue crate dyn else enum extern false fn for if impl "
    "in let loop match mod move mut pub ref return self Self static struct super trait true type "
    "unsafe use where while",
    "go": "break case chan const continue default defer else fallthrough false for func go goto "
    "if import interface map nil package range return select struct switch true type var",
    "shell": "case do done elif else esac exit export fi for function if in local read return "
    "select set shift source then trap unset until while",
    "sql": "add all alter and as asc between by case create delete desc distinct drop else end "
    "exists from group having in index inner insert into is join key left like limit not null on "
    "or order outer primary right select set table then union unique update values view when "
    "where with",
    "plain": "",
    "json": "true false null",
}
_ALIASES = {
    "py": "python", "python3": "python", "pycon": "python", "js": "javascript",
    "ts": "javascript", "jsx": "javascript", "tsx": "javascript", "typescript": "javascript",
    "cpp": "c", "c++": "c", "h": "c", "hpp": "c", "cc": "c", "cs": "java", "csharp": "java",
    "kotlin": "java", "kt": "java", "swift": "java", "scala": "java", "php": "javascript",
    "rs": "rust", "golang": "go", "bash": "shell", "sh": "shell", "zsh": "shell",
    "console": "shell", "yaml": "config", "yml": "config", "toml": "config", "ini": "config",
    "dockerfile": "shell", "makefile": "shell", "ruby": "shell", "rb": "shell", "text": "plain",
    "txt": "plain", "": "plain", "jsonc": "json",
}  # fmt: skip
_HASH = {"python", "shell", "config"}
_SLASH = {"javascript", "c", "java", "rust", "go", "json"}


@dataclass(frozen=True, slots=True)
class _Grammar:
    words: frozenset[str]
    scanner: re.Pattern[str]
    ignores_case: bool


def _grammar(language: str) -> _Grammar:
    comments = []
    if language in _HASH:
        comments.append(r"\#.*")
    if language in _SLASH:
        comments += [r"//.*", r"/\*.*?(?:\*/|(?P<opens_comment>$))"]
    if language == "sql":
        comments.append(r"--.*")
    comment = "|".join(comments) or r"(?!)"
    triple = r"(?P<opens>\"\"\"|''')|" if language == "python" else ""
    quote = r"|`(?:\\.|[^`\\])*`" if language in {"javascript", "go"} else ""
    single = r"'(?:\\.|[^'\\])'" if language in {"rust", "c"} else r"'(?:\\.|[^'\\])*'"
    return _Grammar(
        frozenset(_WORDS.get(language, "true false null").split()),
        re.compile(
            rf"(?P<comment>{comment})|{triple}"
            rf"(?P<string>\"(?:\\.|[^\"\\])*\"|{single}{quote})"
            r"|(?P<number>\b(?:0[xXbBoO][\da-fA-F_]+|\d[\d_]*\.?\d*(?:[eE][+-]?\d+)?)\b)"
            r"|(?P<word>[^\W\d]\w*)(?P<call>(?=\())?"
        ),
        language == "sql",
    )


_grammars: dict[str, _Grammar] = {}


def language_of(label: str) -> str:
    """Return the language that colours a fence labelled `label`; unknown ones are plain."""
    name = label.strip().lower()
    name = _ALIASES.get(name, name)
    return name if name in _WORDS or name == "config" else "plain"


def color_line(line: str, language: str, state: str = "") -> tuple[list[Span], str]:
    """Return the coloured spans of one line and the state for the next one.

    `state` is what is still open from the lines above: `"*/"`, a triple quote, or nothing.
    """
    if language == "plain" or len(line) > MAX_LINE:
        return [(line, "")], state
    grammar = _grammars.get(language)
    if grammar is None:
        grammar = _grammars[language] = _grammar(language)
    spans: list[Span] = []
    at = 0
    if state:
        at, state = _close(line, 0, state)
        spans.append((line[:at], "comment" if line[:at].endswith("*/") or state == "*/" else "str"))
    while at < len(line):
        match = grammar.scanner.search(line, at)
        if match is None:
            break
        start, end = match.span()
        if start > at:
            spans.append((line[at:start], ""))
        kind = match.lastgroup or ""
        if match["comment"] is not None:
            style = "comment"
            if "opens_comment" in match.groupdict() and match["opens_comment"] is not None:
                state = "*/"
        elif language == "python" and match["opens"] is not None:
            style = "str"
            end, state = _close(line, end, match["opens"])
        elif match["string"] is not None:
            style = "str"
        elif kind == "number":
            style = "number"
        else:
            style = _word_style(match["word"], match["call"] is not None, grammar)
        spans.append((line[start:end], style))
        at = max(end, start + 1)
    if at < len(line):
        spans.append((line[at:], ""))
    return spans or [("", "")], state


def _close(line: str, start: int, closer: str) -> tuple[int, str]:
    found = line.find(closer, start)
    return (len(line), closer) if found < 0 else (found + len(closer), "")


def _word_style(word: str, is_call: bool, grammar: _Grammar) -> str:
    if (word.lower() if grammar.ignores_case else word) in grammar.words:
        return "keyword"
    return "call" if is_call else ""
