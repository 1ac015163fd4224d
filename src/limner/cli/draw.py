"""``limner draw``: pictures from words."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal

from PIL.Image import Image
from tyro.conf import Positional, arg

from limner.cli.command import Flag, Precision, Techniques, parse, print_json, standard_output_kept
from limner.errors import InputError, printable

EXAMPLES = """\
  limner draw "a red heart left of a blue star"
  limner draw "a green circle" "a pizza" -n 4 -o page.png
  limner draw "a yellow star" --seed 7 --show-steps
  limner draw --model var-emoji-64 --show-steps        # coarse to fine
  limner draw "a large purple ring" -n 16 -o rings/
  limner draw "a blue star" -n 8 --solver dpm++ --head-steps 10      # in about half the time
  limner draw "a red heart" --model var-emoji-64 --with smooth       # a technique; knobs as in --with NAME:knob=value
  limner draw "a red heart" --image photo.png --mask hole.png        # drawn into a picture
  limner draw --model var_d16.pth --tokenizer vae_ch160v4096z32.pth --classes 207 360 -n 4"""

STRIP_STEPS, STRIP_ROWS = 12, 8
PROMPTS = (
    "a red heart",
    "a large purple cross in the middle",
    "tulip",
    "rocket",
)  # with --show-steps alone


@dataclass(frozen=True)
class Draw:
    """Draw pictures from words, or of classes."""

    prompt: Annotated[Positional[tuple[str, ...]], arg(metavar="PROMPT [PROMPT ...]", help_behavior_hint="")]
    """What to draw; each prompt in quotation marks. With --show-steps it may be left out: four are drawn then."""
    prompts: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="(default: none)")] = None
    """A text file of prompts, one a line, after those that are named here; - reads them from standard input."""
    classes: Annotated[tuple[int, ...], arg(help_behavior_hint="")] = ()
    """In place of prompts, for models that draw classes: their numbers, as 207 and 360 of ImageNet; -1 is none."""
    count: Annotated[int, arg(aliases=["-n"])] = 1
    """Pictures per prompt."""
    out: Annotated[
        Path | None, arg(aliases=["-o"], help_behavior_hint="(default: drawing.png, or drawing-2.png ...)")
    ] = None
    """Where to write: a picture file (several pictures become one captioned page), or a folder (one file each). What
    is named here is written over; without it a name that is free is chosen."""
    model: Annotated[str, arg(aliases=["-m"])] = "mar-emoji-64"
    """A model that ships with limner, the folder of one that you trained, or a file that its authors released."""
    tokenizer: Annotated[str | None, arg(metavar="FILE", help_behavior_hint="(default: none)")] = None
    """The tokenizer of a released file: it has one of its own."""
    side: Annotated[int | None, arg(help_behavior_hint="(default: the usual number)")] = None
    """Tokens on a side of the pictures of a released file, where its weights do not tell."""
    seed: int = 0
    """The same seed draws the same pictures."""
    steps: Annotated[int | None, arg(help_behavior_hint="(default: the model's own)")] = None
    """Steps from nothing to a whole picture; more is slower and usually better."""
    guidance: Annotated[float | None, arg(help_behavior_hint="(default: the model's own)")] = None
    """How strongly the words are followed: 1 is plain sampling, higher is closer to the words and less varied."""
    temperature: Annotated[float | None, arg(help_behavior_hint="(default: the model's own)")] = None
    """Spread of the random draws: below 1 is safer, above 1 is more varied."""
    top_k: Annotated[int | None, arg(help_behavior_hint="(default: the model's own)")] = None
    """Of a model that draws ids: only so many of the likeliest are drawn; 0 is all."""
    top_p: Annotated[float | None, arg(help_behavior_hint="(default: the model's own)")] = None
    """Of a model that draws ids: only the likeliest that together have this probability, above 0 and at most 1."""
    solver: Annotated[
        Literal["ancestral", "ddim", "heun", "dpm++"] | None, arg(help_behavior_hint="(default: the model's own)")
    ] = None
    """How a diffusion head comes from noise to a token. ancestral is what it was made for; the others are made
    for fewer steps and approximate, so name --head-steps too: heun asks the network twice per step."""
    head_steps: Annotated[int | None, arg(help_behavior_hint="(default: the model's own)")] = None
    """Steps of that head per token: mar-emoji-64 takes 50."""
    techniques: Techniques = ()
    """A technique that changes how the model draws, such as smooth; repeated, they apply from left to right."""
    control: Annotated[Path | None, arg(metavar="IMAGE", help_behavior_hint="(default: none)")] = None
    """Of a model such as controlar: an image whose edges are followed."""
    image: Annotated[Path | None, arg(metavar="IMAGE", help_behavior_hint="(default: none)")] = None
    """A picture to draw into, by one prompt, where --mask is white; the rest of it stays."""
    mask: Annotated[Path | None, arg(metavar="IMAGE", help_behavior_hint="(default: none)")] = None
    """With --image: a black picture, white where it is to be drawn anew."""
    device: Annotated[str, arg(metavar="DEVICE")] = "cpu"
    """Where to draw: cpu, cuda, mps."""
    dtype: Precision = "fp32"
    """Arithmetic of matrix products; fp32 draws what ships to the bit."""
    show_steps: Flag = False
    """Also write how the first eight pictures came about: a strip (-steps.png) and an animation (-steps.gif)."""
    json: Flag = False
    """Print one object with the files written and nothing else."""


def run(arguments: list[str]) -> None:
    """Draws, writes the files and says which."""
    options = parse(Draw, "limner draw", EXAMPLES, arguments)
    if options.show_steps and not (options.prompt or options.classes or options.tokenizer):
        options = replace(options, prompt=PROMPTS)
    if options.prompts is not None:
        options = replace(options, prompt=(*options.prompt, *read_prompts(options.prompts)))
    _check(options)
    started = time.monotonic()
    with standard_output_kept(options.json):
        files = draw(options)
    report: dict[str, Any] = {
        "model": options.model,
        **({"classes": list(options.classes)} if options.classes else {"prompts": list(options.prompt)}),
        "seed": options.seed,
        **({"with": list(options.techniques)} if options.techniques else {}),
        "files": [str(file) for file in files],
        "seconds": round(time.monotonic() - started, 2),
    }
    if options.json:
        print_json(report)
    else:
        drawn = len(options.prompt or options.classes) * options.count
        print(f"drew {drawn} in {report['seconds']} s: {', '.join(report['files'])}")


def draw(options: Draw) -> list[Path]:
    """Draws what ``options`` ask for and returns the files written."""
    import limner
    from limner.decode.options import DrawOptions
    from limner.nn.devices import arithmetic, find_device
    from limner.pictures import check_place, free_name
    from limner.store.techniques import with_techniques

    out = free_name(Path("drawing.png")) if options.out is None else options.out
    check_place(out / "0000.png" if _is_folder(out) else out)
    device, given = (
        find_device(options.device),
        _pictures(options),
    )  # before the model: what is wrong is answered at once
    steps: list[tuple[int, int, list[Image]]] = []
    model = limner.load(options.model, tokenizer=options.tokenizer, side=options.side)
    model = with_techniques(model, options.techniques).to(device)
    subjects = _subjects(options, model)
    chosen = {name: getattr(options, name) for name in DrawOptions.__annotations__}
    with arithmetic(device, options.dtype):
        if options.image is not None:
            images = _inpainted(options, model, given, chosen)
        else:
            images = model.draw(
                subjects,
                n=options.count,
                seed=options.seed,
                watch=(lambda step, total, seen: steps.append((step, total, seen))) if options.show_steps else None,
                **chosen,
                **_control(options, model, given),
            )
    named = options.prompt or [f"class {label}" for label in options.classes]
    captions = [name for name in named for _ in range(options.count)]
    files = _write(images, captions, out, options.count)
    return files + (_write_steps(steps, out) if steps else [])


def _subjects(options: Draw, model: Any) -> list[str] | list[int]:
    """Prompts or classes as the model takes them; raises `InputError` if it draws no such thing."""
    from limner.generators.generator import Generator
    from limner.models.class_to_image import ClassToImage

    if isinstance(model, Generator):
        raise InputError(f"{options.model} needs its tokenizer to draw: add --tokenizer FILE")
    if not hasattr(model, "draw"):
        raise InputError(f"{options.model} tokenizes images but draws none: choose a model such as mar-emoji-64")
    if isinstance(model, ClassToImage):
        if not options.classes:
            raise InputError(f"{options.model} draws classes, not prompts: add --classes, as in --classes 207")
        return list(options.classes)
    if options.classes:
        raise InputError(f'{options.model} draws prompts, not classes: say what, as in `limner draw "a red heart"`')
    for sentence in unseen_words(model, options.model, options.prompt):
        print(printable(f"limner: {sentence}"), file=sys.stderr)
    return list(options.prompt)


def unseen_words(model: Any, name: str, prompts: Sequence[str]) -> list[str]:
    """What is to be said of words that a model never saw: which they are, and what it knows that is like them."""
    unseen = list(dict.fromkeys(word for prompt in prompts for word in model.unseen(prompt)))
    if not unseen:
        return []
    alike = list(dict.fromkeys(near for word in unseen for near in model.naming.alike(word)))
    known = f"it knows {', '.join(alike[:6])}" if alike else "it knows what its captions name, such as a red heart"
    return [f"{name} never saw {', '.join(unseen)}, so what it draws for it is chance; {known}"]


def read_prompts(file: Path) -> list[str]:
    """The lines of a text file, or of standard input, that are not empty; raises `InputError` if there is none."""
    try:
        text = sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no UTF-8"
        raise InputError(f"{str(file)!r} cannot be read ({reason}): give a text file of prompts, one a line") from None
    if not (lines := [line.strip() for line in text.removeprefix("\ufeff").split("\n") if line.strip()]):
        raise InputError(f"{str(file)!r} holds no prompt: write one a line")
    return lines


def _pictures(options: Draw) -> dict[str, Any]:
    """The picture files that are named, by option."""
    from limner.data.images import read_image

    named = {name: getattr(options, name) for name in ("control", "image", "mask")}
    return {name: read_image(file) for name, file in named.items() if file is not None}


def _inpainted(options: Draw, model: Any, given: dict[str, Any], chosen: dict[str, Any]) -> list[Image]:
    """The picture with its mask drawn anew."""
    from limner.models.inpainting import inpaint
    from limner.models.text_to_image import TextToImage

    if not isinstance(model, TextToImage):
        raise InputError(f"{options.model} draws no captions into a picture: choose a model such as mar-emoji-64")
    (prompt,) = options.prompt
    return inpaint(model, prompt, given["image"], given["mask"], n=options.count, seed=options.seed, **chosen)


def _control(options: Draw, model: Any, given: dict[str, Any]) -> dict[str, Any]:
    """The image that is followed, if one is; raises `InputError` if the model follows none."""
    from limner.models.controlled import ControlledTextToImage

    if options.control is None:
        return {}
    if not isinstance(model, ControlledTextToImage):
        raise InputError(f"{options.model} follows no image: leave out --control, or choose a controlar")
    return {"control": given["control"]}


def _check(options: Draw) -> None:
    if options.prompt and options.classes:
        raise InputError("draw a prompt or --classes, not both: leave one out")
    if not (options.classes or options.prompt) or not all(prompt.strip() for prompt in options.prompt):
        raise InputError('there is nothing to draw: say what, as in `limner draw "a red heart"`')
    if (options.image is None) != (options.mask is None):
        raise InputError("--image and --mask belong together: the picture, and where it is to be drawn anew")
    if options.image is not None and (len(options.prompt) != 1 or options.show_steps or options.control):
        raise InputError("with --image there is one prompt, and neither --show-steps nor --control")
    if options.count < 1:
        raise InputError(f"-n is {options.count}, but must be at least 1")
    if options.steps is not None and options.steps < 1:
        raise InputError(f"--steps is {options.steps}, but must be at least 1")
    if options.head_steps is not None and options.head_steps < 1:
        raise InputError(f"--head-steps is {options.head_steps}, but must be at least 1")
    for name, value in (("guidance", options.guidance), ("temperature", options.temperature)):
        if value is not None and not (value >= 0 and math.isfinite(value)):
            raise InputError(f"--{name} is {value}, but must not be negative")


def _is_folder(out: Path) -> bool:
    return out.is_dir() or not out.suffix


def _write(images: list[Image], captions: list[str], out: Path, count: int) -> list[Path]:
    """A folder gets every picture; a file gets the picture, or a page with one row per prompt."""
    from limner import pictures

    if _is_folder(out):
        files = [out / f"{number:04d}.png" for number in range(len(images))]
        for image, file in zip(images, files, strict=True):
            pictures.save(image, file)
        return files
    page = images[0] if len(images) == 1 else pictures.grid(images, count if count > 1 else 4, captions)
    pictures.save(page, out)
    return [out]


def _write_steps(steps: list[tuple[int, int, list[Image]]], out: Path) -> list[Path]:
    """The first eight pictures: the strip shows at most twelve steps of them, the animation all."""
    from limner import pictures

    first = _first_batch(steps)
    base = out / "drawing" if _is_folder(out) else out.with_suffix("")
    chosen = [first[i] for i in pictures.few(len(first), STRIP_STEPS)]
    headings = [f"{step} of {total}" if place == 0 else str(step) for place, (step, total, _) in enumerate(chosen)]
    rows: list[list[Any]] = [list(row) for row in zip(*(seen for _, _, seen in chosen), strict=True)]
    strip, animation = base.with_name(f"{base.name}-steps.png"), base.with_name(f"{base.name}-steps.gif")
    pictures.save(pictures.strip(rows, headings), strip)
    columns = min(4, len(rows))
    pictures.gif([pictures.grid(seen, columns) for _, _, seen in first], animation)
    return [strip, animation]


def _first_batch(steps: list[tuple[int, int, list[Image]]]) -> list[tuple[int, int, list[Image]]]:
    """Many pictures are drawn batch by batch, each counting its steps from the start: those of the first batch."""
    length = next((i for i, (before, after) in enumerate(pairwise(steps), 1) if after[0] <= before[0]), len(steps))
    return [(step, total, seen[:STRIP_ROWS]) for step, total, seen in steps[:length]]
