"""``limner tokens``: an image, its tokens and its reconstruction."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
from tyro.conf import Positional, arg

from limner.cli.command import Flag, Precision, parse, print_json, standard_output_kept
from limner.errors import InputError
from limner.pictures import free_name

EXAMPLES = """\
  limner tokens photo.jpg
  limner tokens photo.jpg drawing.png --model vae-64 -o latents.png
  limner tokens photo.jpg --json"""

LATENT_BITS = 16  # a number of a latent, as bf16


@dataclass(frozen=True)
class Tokens:
    """Tokenize an image and reconstruct it; of ordered tokens also from the first 1, 2, 4 ... alone."""

    image: Annotated[Positional[tuple[Path, ...]], arg(metavar="IMAGE [IMAGE ...]", help_behavior_hint="")]
    """Picture files, or folders and tar shards, of which the first pictures are taken; each is cut to the model's shape
    and brought to its size."""
    out: Annotated[Path | None, arg(aliases=["-o"], help_behavior_hint="(default: a free tokens.png)")] = None
    """Where to write the page: original, reconstructions and map of the tokens, one row per picture. What is named here
    is written over; without it a name that is free is chosen."""
    model: Annotated[str, arg(aliases=["-m"])] = "vq-vae-64"
    """A tokenizer that ships with limner, or the folder of one that you trained."""
    count: Annotated[int, arg(aliases=["-n"])] = 16
    """Pictures that are taken of a folder or of shards."""
    device: Annotated[str, arg(metavar="DEVICE")] = "cpu"
    """Where to compute: cpu, cuda, mps."""
    dtype: Precision = "fp32"
    """Arithmetic of matrix products."""
    json: Flag = False
    """Print one object with the tokens themselves and nothing else."""


class Tokenized(NamedTuple):
    """A picture, its tokens (ids ``[h, w]`` or latents ``[h, w, c]``) and what they decode to; ``prefixes``: what the
    first so many of them do, where any first tokens decode."""

    original: np.ndarray
    reconstruction: np.ndarray
    tokens: np.ndarray
    bits: int
    prefixes: dict[int, np.ndarray]

    @property
    def psnr(self) -> float:
        """That of the reconstruction, see `psnr_of`."""
        return psnr_of(self.original, self.reconstruction)


def psnr_of(original: np.ndarray, reconstruction: np.ndarray) -> float:
    """Peak signal-to-noise ratio in dB, over 8-bit pixels; infinite if nothing was lost."""
    error = np.mean((original.astype(np.float64) - reconstruction) ** 2)
    return 10 * math.log10(255**2 / error) if error else math.inf


def run(arguments: list[str]) -> None:
    """Writes the page and reports the tokens."""
    options = parse(Tokens, "limner tokens", EXAMPLES, arguments)
    if not options.image:
        raise InputError("there is no image to tokenize: name one, as in `limner tokens photo.jpg`")
    options = replace(options, out=options.out or free_name(Path("tokens.png")))
    with standard_output_kept(options.json):
        names, parts = tokenize(options)
    if options.json:
        reports = [report(name, part) for name, part in zip(names, parts, strict=True)]
        print_json({"model": options.model, "file": str(options.out), "pictures": reports})
        return
    for path, part in zip(names, parts, strict=True):
        shape = "x".join(map(str, part.tokens.shape))
        print(f"{path}: {shape} {_kind(part)}, {part.bits:,} bits, {part.psnr:.1f} dB")
    print(f"wrote {options.out}")


def tokenize(options: Tokens) -> tuple[list[str], list[Tokenized]]:
    """Reads the files, tokenizes them and writes the page; the names of the pictures, and what became of them."""
    import limner
    from limner import pictures
    from limner.data.images import fit
    from limner.nn.devices import arithmetic, find_device
    from limner.types import Tokenizer

    assert options.out is not None
    pictures.check_place(options.out)
    named = [pair for path in options.image for pair in read(path, options.count)]  # before the model: errors at once
    names, images = [name for name, _ in named], [image for _, image in named]
    device = find_device(options.device)
    model = limner.load(options.model).to(device)
    if not isinstance(model, Tokenizer):
        raise InputError(f"{options.model} is no tokenizer: choose one, such as vae-64 or vq-vae-64")
    with arithmetic(device, options.dtype):
        parts = tokenize_sources(model, [fit(image, model.size) for image in images])
    cells = [cell for part in parts for cell in _row(part)]
    page, captions = [picture for picture, _ in cells], [text for _, text in cells]
    pictures.save(pictures.grid(page, len(cells) // len(parts), captions, cell=192), options.out)
    return names, parts


def read(path: Path, count: int) -> list[tuple[str, np.ndarray]]:
    """A picture file, or the first ``count`` pictures of a folder or of shards, with their names."""
    from limner.data.images import read_image
    from limner.data.own import open_own

    if not path.is_dir() and path.suffix.lower() != ".tar":
        return [(str(path), read_image(path))]
    own = open_own(path)
    return [(str(path / name), own[i].image) for i, name in enumerate(own.names()[:count])]


def _row(part: Tokenized) -> list[tuple[Any, str]]:
    """One row of the page: pictures and their captions."""
    from limner.pictures import token_map

    shorter = [
        (picture, f"first {count} tokens, {psnr_of(part.original, picture):.1f} dB" if count > 1 else "first token")
        for count, picture in part.prefixes.items()
    ]
    whole = (part.reconstruction, f"{part.bits:,} bits, {part.psnr:.1f} dB")
    return [(part.original, "original"), *shorter, whole, (token_map(part.tokens), _kind(part))]


def tokenize_sources(model: Any, images: Sequence[np.ndarray]) -> list[Tokenized]:
    """Pictures ``[height, width, 3]`` of the model's size, encoded and decoded."""
    import torch

    from limner.nn.pixels import to_arrays, to_tensor

    *above, width = model.layout.grids[-1]  # of a pyramid the finest level
    finest, count = model.layout.lengths[-1], model.layout.length
    doubling = (2**power for power in range((count - 1).bit_length()))
    with torch.inference_mode():
        tokens = model.encode(to_tensor(images))
        reconstructions = to_arrays(model.decode(tokens))
        shorter = {k: to_arrays(model.decode(tokens[:, :k])) for k in doubling} if model.layout.nested else {}
    each = LATENT_BITS * tokens.shape[2] if tokens.ndim == 3 else math.ceil(math.log2(model.quantizer.entries))
    maps = tokens[:, -finest:].unflatten(1, (math.prod(above), width)).cpu().numpy()  # a line is one row
    prefixes = [{k: made[i] for k, made in shorter.items()} for i in range(len(images))]
    rows = zip(images, reconstructions, maps, prefixes, strict=True)
    return [Tokenized(image, again, own, each * count, first) for image, again, own, first in rows]


def report(name: str, part: Tokenized) -> dict[str, Any]:
    """One picture of the JSON object: ``{"image", "bits", "psnr", "ids" or "latents"}``, and ``"prefixes"``, the PSNR
    of the first so many tokens, where these decode."""
    found = {"image": name, "bits": part.bits, "psnr": part.psnr, _kind(part): part.tokens.tolist()}
    shorter = {str(count): psnr_of(part.original, picture) for count, picture in part.prefixes.items()}
    return {**found, "prefixes": shorter} if shorter else found


def _kind(part: Tokenized) -> str:
    return "ids" if part.tokens.ndim == 2 else "latents"
