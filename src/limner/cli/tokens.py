"""``limner tokens``: a picture taken apart into tokens and put together again."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from PIL.Image import Image
from tyro.conf import Positional, arg

from limner.cli.command import Flag, parse, print_json, standard_output_kept
from limner.errors import InputError

EXAMPLES = """\
  limner tokens photo.jpg
  limner tokens photo.jpg drawing.png --model vq-vae-64 -o codes.png
  limner tokens photo.jpg --json"""


@dataclass(frozen=True)
class Tokens:
    """Take a picture apart into tokens and put it together again."""

    image: Annotated[Positional[tuple[Path, ...]], arg(metavar="IMAGE [IMAGE ...]", help_behavior_hint="")]
    """Picture files; each is cut to its central square and brought to the model's size."""
    out: Annotated[Path, arg(aliases=["-o"])] = Path("tokens.png")
    """Where to write the page: original, reconstruction and map of the tokens, one row per picture."""
    model: Annotated[str, arg(aliases=["-m"])] = "vq-vae-64"
    """A tokenizer that ships with limner, or the folder of one that you trained."""
    json: Flag = False
    """Print one object with the tokens themselves and nothing else."""


def run(arguments: list[str]) -> None:
    """Writes the page and reports the tokens."""
    options = parse(Tokens, "limner tokens", EXAMPLES, arguments)
    if not options.image:
        raise InputError("there is no picture to take apart: name one, as in `limner tokens photo.jpg`")
    with standard_output_kept(options.json):
        reports = take_apart(options)
    if options.json:
        print_json({"model": options.model, "file": str(options.out), "pictures": reports})
        return
    for report in reports:
        print(f"{report['image']}: {report['bits']:,} bits")
    print(f"wrote {options.out}")


def take_apart(options: Tokens) -> list[dict[str, Any]]:
    """Encodes, decodes, writes the page and returns what the tokenizer says of each picture."""
    import limner
    from limner import pictures
    from limner.data.images import open_image, square

    model = limner.load(options.model)
    images = [square(open_image(path), model.size) for path in options.image]
    rebuilt = model.decode(model.encode(images))
    reports = [{"image": str(path), **model.describe(image)} for path, image in zip(options.image, images, strict=True)]
    rows: list[list[Image]] = [
        [image, again, _map(report)] for image, again, report in zip(images, rebuilt, reports, strict=True)
    ]
    captions = [caption for report in reports for caption in ("original", f"from {report['bits']:,} bits", "tokens")]
    pictures.save(pictures.grid([image for row in rows for image in row], 3, captions, cell=192), options.out)
    return reports


def _map(report: dict[str, Any]) -> Image:
    import numpy as np

    from limner.pictures import token_map

    return token_map(np.asarray(report["ids"] if "ids" in report else report["latents"]), size=192)
