"""``limner tokens``: an image, its tokens and its reconstruction."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
from tyro.conf import Positional, arg

from limner.cli.command import Flag, parse, print_json, standard_output_kept
from limner.errors import InputError

EXAMPLES = """\
  limner tokens photo.jpg
  limner tokens photo.jpg drawing.png --model vae-64 -o latents.png
  limner tokens photo.jpg --json"""

LATENT_BITS = 16  # a number of a latent, as bf16


@dataclass(frozen=True)
class Tokens:
    """Tokenize an image and reconstruct it."""

    image: Annotated[Positional[tuple[Path, ...]], arg(metavar="IMAGE [IMAGE ...]", help_behavior_hint="")]
    """Picture files; each is cut to its central square and brought to the model's size."""
    out: Annotated[Path, arg(aliases=["-o"])] = Path("tokens.png")
    """Where to write the page: original, reconstruction and map of the tokens, one row per picture."""
    model: Annotated[str, arg(aliases=["-m"])] = "vq-vae-64"
    """A tokenizer that ships with limner, or the folder of one that you trained."""
    json: Flag = False
    """Print one object with the tokens themselves and nothing else."""


class Apart(NamedTuple):
    """A picture, what its tokens make of it, and the tokens: ids ``[h, w]`` or latents ``[h, w, c]``."""

    original: np.ndarray
    rebuilt: np.ndarray
    tokens: np.ndarray
    bits: int

    @property
    def psnr(self) -> float:
        """Peak signal-to-noise ratio of the reconstruction in dB, over 8-bit pixels; infinite if nothing was lost."""
        error = np.mean((self.original.astype(np.float64) - self.rebuilt) ** 2)
        return 10 * math.log10(255**2 / error) if error else math.inf


def run(arguments: list[str]) -> None:
    """Writes the page and reports the tokens."""
    options = parse(Tokens, "limner tokens", EXAMPLES, arguments)
    if not options.image:
        raise InputError("there is no image to tokenize: name one, as in `limner tokens photo.jpg`")
    with standard_output_kept(options.json):
        parts = tokenize(options)
    if options.json:
        reports = [report(path, part) for path, part in zip(options.image, parts, strict=True)]
        print_json({"model": options.model, "file": str(options.out), "pictures": reports})
        return
    for path, part in zip(options.image, parts, strict=True):
        shape = "x".join(map(str, part.tokens.shape))
        print(f"{path}: {shape} {_kind(part)}, {part.bits:,} bits, {part.psnr:.1f} dB")
    print(f"wrote {options.out}")


def tokenize(options: Tokens) -> list[Apart]:
    """Reads the files, tokenizes them and writes the page."""
    import limner
    from limner import pictures
    from limner.data.images import fit, read_image
    from limner.types import Tokenizer

    pictures.check_place(options.out)
    images = [read_image(path) for path in options.image]  # before the model: a wrong path is answered at once
    model = limner.load(options.model)
    if not isinstance(model, Tokenizer):
        raise InputError(f"{options.model} is no tokenizer: choose one, such as vae-64 or vq-vae-64")
    parts = tokenize_sources(model, [fit(image, model.size) for image in images])
    page = [picture for part in parts for picture in (part.original, part.rebuilt, pictures.token_map(part.tokens))]
    captions = [text for part in parts for text in ("original", f"{part.bits:,} bits, {part.psnr:.1f} dB", _kind(part))]
    pictures.save(pictures.grid(page, 3, captions, cell=192), options.out)
    return parts


def tokenize_sources(model: Any, images: Sequence[np.ndarray]) -> list[Apart]:
    """Each picture ``[size, size, 3]`` through a tokenizer and back."""
    import torch

    from limner.nn.pixels import to_arrays, to_tensor

    with torch.inference_mode():
        tokens = model.encode(to_tensor(images))
        rebuilt = to_arrays(model.decode(tokens))
    each = LATENT_BITS * tokens.shape[2] if tokens.ndim == 3 else math.ceil(math.log2(model.quantizer.entries))
    *above, width = model.layout.grids[-1]  # of a pyramid the finest level
    finest = tokens[:, -model.layout.lengths[-1] :]
    maps = finest.unflatten(1, (math.prod(above), width)).cpu().numpy()  # a line is one row
    bits = each * tokens.shape[1]
    return [Apart(image, again, own, bits) for image, again, own in zip(images, rebuilt, maps, strict=True)]


def report(path: Path, part: Apart) -> dict[str, Any]:
    """One picture of the JSON object: ``{"image", "bits", "psnr", "ids" or "latents"}``."""
    return {"image": str(path), "bits": part.bits, "psnr": part.psnr, _kind(part): part.tokens.tolist()}


def _kind(part: Apart) -> str:
    return "ids" if part.tokens.ndim == 2 else "latents"
