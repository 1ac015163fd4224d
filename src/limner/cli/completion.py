"""``limner completion``: verbs and options at the press of Tab."""

from __future__ import annotations

import contextlib
import io
import re
from dataclasses import dataclass
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from limner.cli.command import parse

EXAMPLES = """\
  eval "$(limner completion bash)"                 # now; in ~/.bashrc: always
  limner completion zsh > ~/.limner-completion     # then in ~/.zshrc: source ~/.limner-completion
  limner completion fish > ~/.config/fish/completions/limner.fish"""

BASH = """\
_limner() {{
  local verb="${{COMP_WORDS[1]}}" word="${{COMP_WORDS[COMP_CWORD]}}"
  [ "$verb" = data ] && [ "$COMP_CWORD" -gt 2 ] && verb="data ${{COMP_WORDS[2]}}"
  if [ "$COMP_CWORD" -eq 1 ]; then COMPREPLY=($(compgen -W "{verbs}" -- "$word")); return; fi
  case "$verb" in
{cases}
  esac
}}
complete -o default -F _limner limner
"""


@dataclass(frozen=True)
class Completion:
    """Print a script by which a shell completes limner's verbs, options, recipes and models."""

    shell: Annotated[Positional[Literal["bash", "zsh", "fish"]], arg(metavar="{bash,zsh,fish}")]
    """The shell that reads it."""


def run(arguments: list[str]) -> None:
    """Prints the script."""
    print(script(parse(Completion, "limner completion", EXAMPLES, arguments).shell), end="")


def script(shell: str) -> str:
    """What the shell is to read: for zsh that of bash, which it understands."""
    from limner.cli import VERBS

    known = words()
    if shell == "fish":
        seen = "__fish_seen_subcommand_from"
        lines = [f"complete -c limner -n __fish_use_subcommand -a {verb} -d '{VERBS[verb]}'" for verb in VERBS]
        for verb, options in known.items():
            when = " && ".join(f"{seen} {part}" for part in verb.split())
            lines.append(f"complete -c limner -n '{when}' -a '{' '.join(options)}'")
        return "\n".join([*lines, ""])
    cases = "\n".join(
        f'    "{verb}") COMPREPLY=($(compgen -W "{" ".join(options)}" -- "$word")) ;;'
        for verb, options in known.items()
    )
    begins = "autoload -U +X bashcompinit && bashcompinit\n" if shell == "zsh" else ""
    return begins + BASH.format(verbs=" ".join(VERBS), cases=cases)


def words() -> dict[str, list[str]]:
    """By verb, what may follow it: its options, as its help lists them, and names that it takes."""
    from limner.catalogue.recipes import find_recipes
    from limner.cli import VERBS
    from limner.cli.data import VERBS as DATA

    recipes = [entry.path for entry in find_recipes()]
    named = {"train": recipes, "prove": recipes, "compare": recipes, "data": list(DATA), "completion": ["bash", "zsh"]}
    verbs = [*VERBS, *(f"data {verb}" for verb in DATA)]
    return {verb: [*named.get(verb, []), *_options(verb)] for verb in verbs}


def _options(verb: str) -> list[str]:
    from limner.cli import main

    call = [*verb.split(), *(["vae"] if verb == "train" else [])]
    with contextlib.redirect_stdout(io.StringIO()) as written, contextlib.suppress(SystemExit):
        main([*call, "--help-all" if verb != "data" else "--help"])
    return sorted(set(re.findall(r"(?<=[\s,])--[a-z][a-z-]+", written.getvalue())) - {"--help-all"})
