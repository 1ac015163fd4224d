"""The one entry: ``limner VERB ...``. Each verb is a module of this package, imported when it is called.

The overview below is printed without importing anything: it answers before torch, tyro or rich could be loaded.
"""

from __future__ import annotations

import contextlib
import difflib
import importlib
import io
import os
import sys
from collections.abc import Sequence
from typing import Any

from limner import __version__
from limner.errors import InputError, LimnerError, printable

VERBS = {
    "demo": "draw a page of prompts, tokenize images and reconstruct them",
    "draw": "draw pictures from words",
    "see": "answer a question about a picture, describe it, show what each patch says",
    "chat": "ask about a picture, again and again; draw, and look at what was drawn",
    "tokens": "tokenize an image and reconstruct it",
    "train": "train a recipe, or go on with an interrupted run",
    "compare": "train recipes under equal data, compute and parameters, and plot what came of each",
    "evaluate": "score a model, with the protocol that makes scores comparable",
    "swap": "give a model that sees another language model, without training",
    "convert": "turn weights as their authors released them into a model folder",
    "audit": "find out whether a model needed the images of its questions",
    "systems": "list the published systems and how far each has come",
    "prove": "run the small experiment behind a recipe's claims",
    "data": "show, check, pack or build a data set",
    "completion": "print a script by which a shell completes verbs and options",
}

EXAMPLES = """\
  limner demo
  limner draw "a red heart left of a blue star" -n 4
  limner tokens photo.jpg
  limner data check my-pictures
  limner train tokenizers/vae --help
  limner systems --state works"""

ANSWERING = {"demo", "draw", "see", "chat", "tokens"}  # verbs that somebody waits for, most often with small models
REFUSED = 2  # what the user gave cannot be used, as argparse and most tools say it
INTERRUPTED = 130  # 128 + SIGINT
PIPE_CLOSED = 141  # 128 + SIGPIPE


def entry() -> None:
    """The console script ``limner``. What the terminal cannot write, such as odd bytes in file names, is escaped."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    if ANSWERING & set(sys.argv[1:2]):
        # Threads that wait for each other sleep, where they would spin: on a core that others use too, spinning took
        # over 50 seconds for a drawing of 1. OpenMP reads this once, when torch is imported; what the user sets stays.
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    sys.exit(main(sys.argv[1:]))


class Printable(io.TextIOBase):
    """Standard output on which no text acts: file names, prompts and answers may hold what a terminal obeys.

    Args:
        stream: where it goes; what draws a table in colours writes there itself.
    """

    def __init__(self, stream: Any) -> None:
        super().__init__()
        self.stream = stream

    def write(self, text: str) -> int:
        self.stream.write(printable(text))
        return len(text)

    def flush(self) -> None:
        self.stream.flush()

    def isatty(self) -> bool:
        return bool(self.stream.isatty())

    def fileno(self) -> int:
        return int(self.stream.fileno())


def main(arguments: Sequence[str]) -> int:
    """Runs one command line and returns its exit code: 0, 2 for what limner refuses (one sentence on standard error),
    130 when interrupted. Unexpected exceptions keep their traceback."""
    try:
        with contextlib.redirect_stdout(Printable(sys.stdout)):
            code = _run(list(arguments))
        sys.stdout.flush()
        return code
    except LimnerError as error:
        print(printable(f"limner: {error}"), file=sys.stderr)
        return REFUSED
    except KeyboardInterrupt:
        print("limner: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # The reader left (`limner systems | head`): nothing can be written any more, and the interpreter must not try.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return PIPE_CLOSED


def _run(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(
            overview(
                "limner",
                "limner draws images from words and answers questions about images, token by token.",
                VERBS,
                EXAMPLES,
            )
        )
        return 0
    if arguments[0] in ("-V", "--version", "version"):
        print(f"limner {__version__}")
        return 0
    verb, *rest = arguments
    if verb not in VERBS:
        raise InputError(f"there is no verb {verb!r}: {_choice(verb, VERBS)}")
    module = importlib.import_module(f"limner.cli.{verb}")
    return module.run(rest) or 0


def overview(program: str, purpose: str, verbs: dict[str, str], examples: str) -> str:
    """The help of a command that has verbs, one line for each."""
    width = max(map(len, verbs))
    lines = "\n".join(f"  {verb:<{width}}  {text}" for verb, text in verbs.items())
    return (
        f"usage: {program} VERB [options]\n\n{purpose}\n\nVerbs:\n{lines}\n\nExamples:\n{examples}\n\n"
        f"`{program} VERB --help` explains a verb and its options."
    )


def _choice(verb: str, verbs: dict[str, str]) -> str:
    near = difflib.get_close_matches(verb, verbs, n=1)
    return f"did you mean `{near[0]}`?" if near else f"choose one of {', '.join(verbs)}"
