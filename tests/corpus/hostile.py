"""Strings that try to move the cursor, run an action, hide text or break a row: some hundreds.

Made by rules from parts, so that each kind stands in many surroundings; the same list every time.
"""

INTRODUCERS = ("\x1b[", "\x1b]", "\x1bP", "\x1b_", "\x1b^", "\x1bX", "\x9b", "\x9d", "\x90", "\x9f")
BODIES = (
    "2J", "6n", "?1049l", "31m", "H", "0;title", "2;title", "4;1;red", "7;file:///", "8;;http://x",
    "9;note", "52;c;aGk=", "1337;File=x:aGk=", "+q544e", "999999999A", "?2004h", "200~", "201~",
)  # fmt: skip
ENDS = ("", "\x07", "\x1b\\", "\x9c")
MARKUP = (
    "[/]", "[/foo]", "[b + x", "[a=1,b=", "[@click=app.bell]x[/]", "[/", "x[link=", "\\[",
    "[" * 500, "[@click=app.action_quit]quit[/]", "[link=file:///etc/passwd]a[/link]",
    "[red]x[/red]", "[on red]", "[bold", "{x}", "%s%n", "[@mouse.down=app.quit]x[/]", "[!]", "[]",
    "[[b]]", "[b][i][/b][/i]", "[$primary]x", "[auto on $error]x[/]", "\\[b]\\[/b]", "[b]\n[/b]",
)  # fmt: skip
UNICODE = (
    "\u202eevil", "\u2066a\u2069", "\u200b" * 9, "a\u0301" * 50, "e" + "\u0301" * 300,
    "\u2028line\u2029paragraph", "\u200d", "👩‍👩‍👧", "👩\u200d", "🇩🇪🇫", "⏺️", "漢字" * 20,
    "العربية", "\ufeff", "\U000e0041\U000e0042", "\x00", "\x7f", "\r\rover", "a\rb", "\b" * 200,
    "\x0b\x0c", "\t" * 5, "\x85", "\xad", "\u061c", "\ufff9x\ufffa", "\u180e", "\u3000wide",
    "\x0e\x0f", "\x05", "\x11\x13", "ﷺ" * 9, "\u1160\u11a2", "\U0001f3f4\U000e0067\U000e007f",
)  # fmt: skip
MARKDOWN = (
    "```\nopen", "~~~", "|a|b|\n|-|-|\n|[/]|", "# " + "[/]", "- [ ] [@click=app.bell]x[/]",
    "[x](javascript:alert(1))", "![i](file:///etc/passwd)", "<script>x</script>", "vector<int>",
    "`" * 99, "*" * 99, "> " * 60 + "deep", "1. " * 60, "https://example.com/\x1b[2J", "\\" * 99,
)  # fmt: skip


def hostile_strings() -> list[str]:
    """Return every string once."""
    found = []
    for number, introducer in enumerate(INTRODUCERS):
        for place, body in enumerate(BODIES):
            for end in (ENDS[(number + place) % 4], ENDS[(number + place + 1) % 4]):
                found.append(f"a{introducer}{body}{end}b")
    found += [chr(code) for code in (*range(32), *range(127, 160))]
    found += [*MARKUP, *UNICODE, *MARKDOWN]
    found += [f"{text}{other}" for text, other in zip(MARKUP, UNICODE, strict=False)]
    return list(dict.fromkeys(found))
