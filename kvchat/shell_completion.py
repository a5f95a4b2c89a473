"""`kvchat completion`: scripts that complete sub-commands and options in bash, zsh and fish.

Made from the parser itself, so they never name an option that is not there.
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from kvchat.bench.programs import PROGRAMS
from kvchat.cli_options import Parser, command_parser
from kvchat.print_mode import write

SUB_COMMANDS = {
    "keys": "every key and command of the app",
    "config": "the settings file",
    "sessions": "list, delete, export and import chats",
    "models": "list, inspect and download models",
    "completion": "a script for your shell",
    "doctor": "check the cache on this machine",
    "simulate": "let 200 users chat and crash",
    "bench": "measure this machine",
}
SUB_WORDS = {
    "keys": ("--probe",),
    "config": ("path", "edit", "check"),
    "sessions": ("ls", "rm", "export", "import", "purge"),
    "models": ("list", "inspect", "pull"),
    "completion": ("bash", "zsh", "fish"),
    "bench": tuple(PROGRAMS),
}


@dataclass(frozen=True, slots=True)
class _Option:
    """What a shell may complete for one option."""

    names: tuple[str, ...]
    about: str
    takes_value: bool
    choices: tuple[str, ...]
    takes_path: bool


def main(words: Sequence[str]) -> int:
    """Print the script for the named shell and return the exit status."""
    parser = Parser(
        prog="kvchat completion",
        description='Print a completion script. In bash: eval "$(kvchat completion bash)";'
        " in zsh the same with zsh, after compinit; in fish: kvchat completion fish | source.",
    )
    parser.add_argument("shell", choices=("bash", "zsh", "fish"))
    scripts = {"bash": bash_script, "zsh": zsh_script, "fish": fish_script}
    write(scripts[parser.parse_args(words).shell]())
    return 0


def bash_script() -> str:
    """Return the script for bash."""
    options = list(_options())
    names = " ".join(name for option in options for name in option.names)
    cases = [
        f'    {"|".join(option.names)}) COMPREPLY=($(compgen -W "{" ".join(option.choices)}"'
        ' -- "$word")); return ;;'
        for option in options
        if option.choices
    ]
    folders = "|".join(name for option in options if option.takes_path for name in option.names)
    cases.append(f'    {folders}) COMPREPLY=($(compgen -d -- "$word")); return ;;')
    valued = [option for option in options if option.takes_value]
    others = [option for option in valued if not option.choices and not option.takes_path]
    cases.append(f"    {'|'.join(name for option in others for name in option.names)}) return ;;")
    subs = [
        f'    {name}) COMPREPLY=($(compgen -W "{" ".join(words)}" -- "$word")); return ;;'
        for name, words in SUB_WORDS.items()
    ]
    return "\n".join(
        [
            "_kvchat() {",
            '  local word="${COMP_WORDS[COMP_CWORD]}" before="${COMP_WORDS[COMP_CWORD-1]}"',
            "  COMPREPLY=()",
            '  case "$before" in',
            *cases,
            "  esac",
            '  if [ "$COMP_CWORD" -eq 2 ]; then case "${COMP_WORDS[1]}" in',
            *subs,
            "  esac; fi",
            '  if [ "$COMP_CWORD" -eq 1 ] && [ "${word#-}" = "$word" ]; then',
            f'    COMPREPLY=($(compgen -W "{" ".join(SUB_COMMANDS)}" -- "$word"))',
            "  else",
            f'    COMPREPLY=($(compgen -W "{names}" -- "$word"))',
            "  fi",
            "}",
            "complete -F _kvchat kvchat",
            "",
        ]
    )


def zsh_script() -> str:
    """Return the script for zsh, for `eval` and as a file `_kvchat` on fpath."""
    lines = ["#compdef kvchat", "_kvchat() {", "  local -a commands", "  commands=("]
    lines += [f"    '{name}:{about}'" for name, about in SUB_COMMANDS.items()]
    lines += ["  )", "  case ${words[2]} in"]
    lines += [
        f"    {name}) (( CURRENT == 3 )) && compadd {' '.join(words)} && return ;;"
        for name, words in SUB_WORDS.items()
    ]
    lines += ["  esac", "  _arguments -s \\"]
    for option in _options():
        about = option.about.replace("'", "").replace("[", "(").replace("]", ")")
        about = about.replace(":", "\\:")
        value = ""
        if option.takes_value:
            action = f"({' '.join(option.choices)})" if option.choices else ""
            value = ":value:" + ("_files -/" if option.takes_path else action)
        lines += [f"    '{name}[{about}]{value}' \\" for name in option.names]
    lines += [
        "    '1: :->first'",
        "  [[ $state == first ]] && _describe command commands",
        "}",
        "compdef _kvchat kvchat",
        "",
    ]
    return "\n".join(lines)


def fish_script() -> str:
    """Return the script for fish."""
    lines = ["complete -c kvchat -f"]
    lines += [
        f"complete -c kvchat -n __fish_use_subcommand -a {name} -d '{about}'"
        for name, about in SUB_COMMANDS.items()
    ]
    lines += [
        f"complete -c kvchat -n '__fish_seen_subcommand_from {name}' -a '{' '.join(words)}'"
        for name, words in SUB_WORDS.items()
    ]
    for option in _options():
        parts = ["complete -c kvchat"]
        parts += [
            f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}" for name in option.names
        ]
        if option.choices:
            parts.append(f"-x -a '{' '.join(option.choices)}'")
        elif option.takes_path:
            parts.append("-x -a '(__fish_complete_directories)'")
        elif option.takes_value:
            parts.append("-x")
        about = option.about.replace("\\", "\\\\").replace("'", "\\'")
        lines.append(" ".join([*parts, f"-d '{about}'"]))
    return "\n".join([*lines, ""])


def _options() -> Iterator[_Option]:
    for action in command_parser()._actions:
        if not action.option_strings:
            continue
        choices = tuple(str(choice) for choice in action.choices or ())
        # -p takes its text as the next word or not at all, so nothing is completed for it.
        takes_value = action.nargs is None
        is_path = action.metavar == "DIR"
        about = "" if action.help in (None, argparse.SUPPRESS) else str(action.help)
        yield _Option(tuple(action.option_strings), about, takes_value, choices, is_path)
