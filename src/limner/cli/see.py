"""``limner see``: a question about a picture, or its description, and what each patch says."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import Positional, arg

from limner.cli.command import Flag, Precision, Techniques, parse, print_json, standard_output_kept
from limner.errors import InputError

if TYPE_CHECKING:
    from limner.models.vision_language import Sees
    from limner.unified.words import PatchWords

MODEL = "limner-64"
READ = 32  # words of a patch that are read, so that means over the picture miss little
LISTED = 5  # and written

EXAMPLES = """\
  limner see drawing.png
  limner see drawing.png "What colour is the heart?"
  limner see drawing.png --words words.png
  limner see photo.jpg "Is there a ring?" --model runs/words --json"""


@dataclass(frozen=True)
class See:
    """Answer a question about a picture; without one, describe it. A model answers what it was trained for: those that
    learned from limner's scenes know shapes, colours, sizes, places and numbers of things, and nothing of the world."""

    image: Positional[Path]
    """A picture file of any size; what is not square is filled up with white."""
    question: Annotated[Positional[str | None], arg(metavar="[QUESTION]", help_behavior_hint="")] = None
    """In quotation marks, as in "How many things are there?"."""
    model: Annotated[str, arg(aliases=["-m"])] = MODEL
    """A model that ships with limner, or the folder of one that you trained."""
    words: Annotated[Path | None, arg(metavar="PATH", help_behavior_hint="(default: none)")] = None
    """Write a page that shows the heaviest words of every patch beside the picture."""
    techniques: Techniques = ()
    """A technique that changes how the model sees; repeated, they apply from left to right."""
    device: Annotated[str, arg(metavar="DEVICE")] = "cpu"
    """Where to look: cpu, cuda, mps."""
    dtype: Precision = "fp32"
    """Arithmetic of matrix products."""
    json: Flag = False
    """Print one object with the answer, and with --words the words, and nothing else."""


def run(arguments: list[str]) -> None:
    """Answers, and writes what is wanted."""
    options = parse(See, "limner see", EXAMPLES, arguments)
    with standard_output_kept(options.json):
        report = see(options)
    if options.json:
        print_json(report)
        return
    print(report["answer"])
    if "words" in report:
        print(f"wrote {report['words']['file']}")


def see(options: See) -> dict[str, Any]:
    """Looks and writes the page; returns what ``--json`` prints."""
    from limner.data.images import read_image
    from limner.nn.devices import arithmetic, find_device
    from limner.pictures import check_place

    if options.question is not None and not options.question.strip():
        raise InputError("the question is empty: ask something, or leave it out for a description")
    if options.words is not None:
        check_place(options.words)
    pixels = read_image(options.image)  # before the model: a wrong path is answered at once
    device = find_device(options.device)
    model = load_seeing(options.model, options.techniques).to(device)
    started = time.monotonic()
    with arithmetic(device, options.dtype):
        answer = model.see(pixels, options.question)
    report: dict[str, Any] = {
        "model": options.model,
        "image": str(options.image),
        "question": options.question,
        **({"with": list(options.techniques)} if options.techniques else {}),
        "answer": answer,
        "seconds": round(time.monotonic() - started, 2),
    }
    if options.words is not None:
        read = write_words(model, pixels, options.words, report["answer"], options.question or "")
        report["words"] = {"file": str(options.words), **read.to_json(LISTED)}
    return report


def load_seeing(name: str, techniques: tuple[str, ...] = ()) -> Any:
    """A model that sees, with techniques; raises `InputError` for others."""
    import limner
    from limner.models.vision_language import Sees
    from limner.store.techniques import with_techniques

    model = with_techniques(limner.load(name), techniques)
    if not isinstance(model, Sees):
        raise InputError(f"{name} cannot see: give a model that was trained to, such as a run of `limner train llava`")
    return model


def write_words(model: Sees, picture: Any, file: Path, answer: str, question: str) -> PatchWords:
    """The page of words of a picture; returns them."""
    from limner import pictures
    from limner.data.preprocess import preprocess
    from limner.nn.pixels import to_arrays
    from limner.unified.words_page import words_page

    read = model.words(picture, READ)
    pixels = to_arrays(preprocess(picture, model.size))[0]
    pictures.save(words_page(pixels, read, answer, question), file)
    return read
