"""``limner chat``: ask about a picture, again and again; draw, and look at what was drawn."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import Positional, arg

from limner.cli.command import console, parse
from limner.cli.see import MODEL, load_seeing, write_words
from limner.errors import InputError, LimnerError

if TYPE_CHECKING:
    from limner.models.vision_language import Sees

EXAMPLES = """\
  limner chat drawing.png
  limner chat --model runs/words photo.jpg
  printf '/draw a red heart\\nWhat colour is the heart?\\n' | limner chat"""

HELP = """\
Ask anything about the picture, or press Enter for a description. Every question stands alone: a small model that
learned from scenes does not remember the last one.

  /open PICTURE    look at another picture
  /draw WORDS      draw a picture, save it and look at it
  /words           save a page of what each patch says
  /help            this text
  /quit            leave, as Ctrl-D and Ctrl-C do"""

HEAVY = 6  # words that /words tells


@dataclass(frozen=True)
class ChatOptions:
    """Ask about a picture, again and again. A model that draws also draws, and then sees what it drew."""

    image: Annotated[Positional[Path | None], arg(metavar="[IMAGE]", help_behavior_hint="")] = None
    """The picture to begin with; another one can be opened or drawn at any time."""
    model: Annotated[str, arg(aliases=["-m"])] = MODEL
    """A model that ships with limner, or the folder of one that you trained."""
    out: Annotated[Path, arg(aliases=["-o"])] = Path()
    """Folder for drawings and pages of words; nothing there is overwritten."""
    seed: int = 0
    """Of the first drawing; the next one takes the next."""


class Chat:
    """What has been opened and drawn, and an answer to every line.

    Args:
        model: sees, and if it can draws.
        name: what errors call it.
        out: folder of what is drawn.
        seed: of the first drawing.
    """

    def __init__(self, model: Sees, name: str, out: Path, seed: int) -> None:
        self.model, self.name, self.out, self.seed = model, name, out, seed
        self.picture: Any = None
        self.last_turn = ("", "")
        self.commands: dict[str, Callable[[str], str]] = {
            "/open": self.open,
            "/draw": self.draw,
            "/words": self.words,
            "/help": lambda _: HELP,
        }

    def reply(self, line: str) -> str:
        """What a line comes to; raises `InputError` if that cannot be done, after which the next line may come."""
        verb, _, rest = line.strip().partition(" ")
        if not verb.startswith("/"):
            return self.ask(line.strip())
        if verb not in self.commands:
            raise InputError(f"there is no {verb}: /help lists what there is")
        return self.commands[verb](rest.strip())

    def ask(self, question: str) -> str:
        """The answer, or to nothing a description."""
        answer = self.model.see(self._current(), question or None)
        self.last_turn = question, answer
        return answer

    def open(self, path: str) -> str:
        """Look at a file."""
        from limner.data.images import read_image

        if not path:
            raise InputError("there is no picture to open: name one, as in `/open photo.jpg`")
        self.picture, self.last_turn = read_image(Path(path.strip("'\"")).expanduser()), ("", "")
        height, width = self.picture.shape[:2]
        return f"{path}, {width} x {height} pixels"

    def draw(self, prompt: str) -> str:
        """Draw, save, and look at it."""
        from limner import pictures

        if not hasattr(self.model, "draw"):
            raise InputError(f"{self.name} sees but does not draw: start with a model that does, such as {MODEL}")
        from limner.cli.draw import unseen_words

        file = self._free("drawing")
        pictures.check_place(file)
        strange = unseen_words(self.model, self.name, [prompt])
        (picture,) = self.model.draw(prompt, n=1, seed=self.seed)
        pictures.save(picture, file)
        self.seed += 1
        self.picture, self.last_turn = picture, ("", "")
        return "\n".join([*strange, str(file)])

    def words(self, _: str) -> str:
        """A page of what each patch says, and the heaviest words of all."""
        from limner.pictures import check_place

        picture, file = self._current(), self._free("words")
        check_place(file)
        question, answer = self.last_turn
        read = write_words(self.model, picture, file, answer, question)
        heavy = ", ".join(f"{word} {read.number(weight)}" for word, weight in read.heaviest(HEAVY))
        return f"{heavy}\n{file}"

    def _current(self) -> Any:
        if self.picture is None:
            raise InputError("there is no picture yet: `/open photo.jpg`, or `/draw a red heart`")
        return self.picture

    def _free(self, name: str) -> Path:
        """The first file of that name that is not there yet."""
        number = 1
        while (file := self.out / f"{name}-{number}.png").exists():
            number += 1
        return file


def run(arguments: list[str]) -> None:
    """Answers line after line until there is none."""
    options = parse(ChatOptions, "limner chat", EXAMPLES, arguments)
    out = console(soft_wrap=True)
    chat = Chat(load_seeing(options.model), options.model, options.out, options.seed)
    if options.image is not None:
        out.print(chat.open(str(options.image)), style="dim")
    if sys.stdin.isatty():
        out.print(f"{options.model} is here. /help says what to type, /quit leaves.", style="dim")
    for line in _lines(out):
        try:
            reply = chat.reply(line)
            out.print(reply, style="dim" if line.startswith("/") else "bold")
        except LimnerError as error:
            out.print(str(error), style="red")


def _lines(out: Any) -> Iterator[str]:
    """What is typed, or comes through a pipe, up to /quit, the end, or Ctrl-C."""
    typed = sys.stdin.isatty()
    if typed:
        with contextlib.suppress(ImportError):  # Windows has line editing of its own
            import readline  # noqa: F401
    with contextlib.suppress(EOFError, KeyboardInterrupt):
        while (line := out.input("> " if typed else "")).strip() not in ("/quit", "/exit", "/q"):
            yield line
        return
    if typed:
        out.print()
