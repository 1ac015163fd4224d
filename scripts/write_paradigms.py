"""Writes docs/paradigms.md: the ways of drawing that are in the house, each as tokenizer x order x backbone x head.

    python scripts/write_paradigms.py            # writes the page
    python scripts/write_paradigms.py --check    # fails if the page is not what the code says

Nothing is stated twice: every cell is read from a generator built at its published size, without memory for weights;
of a system that its authors did not release, at the size of our recipe.
"""

from __future__ import annotations

import argparse
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch

from limner.generators.generator import Generator
from limner.recipes.generators import flowar
from limner.store.official import acdit, elm, flexvar, fqgan, llamagen, mar, maskgit, nar, rar, var, xar
from limner.tokenizers.pyramid import Pyramid, doubling
from limner.tokenizers.quantizers.continuous import Identity
from limner.types import Rng

PAGE = Path(__file__).resolve().parents[1] / "docs" / "paradigms.md"


class Row(NamedTuple):
    """A published generator: its name, paper, tokens, smallest size, and what builds it."""

    name: str
    paper: str
    tokens: str
    sizes: Any
    build: Callable[[Any], Generator]


def small_flowar(knobs: flowar.Knobs) -> Generator:
    """FlowAR as its recipe trains it: the authors released none."""
    return flowar.generator(knobs, Pyramid(Identity(12), doubling((8, 8))))


ROWS = (
    Row("LlamaGen-B", "2406.06525", "VQ-16, 16,384 codes", llamagen.LLAMAGEN_B, llamagen.official_generator),
    Row("RAR-B", "2411.00776", "MaskGIT-VQGAN, 1,024 codes", rar.RAR_BASE, rar.official_generator),
    Row(
        "MaskGIT over TiTok-L32",
        "2202.04200, 2406.07550",
        "TiTok, 4,096 codes",
        maskgit.TITOK_L32,
        maskgit.official_generator,
    ),
    Row("MaskGIT over TiTok-S128", "2406.07550", "TiTok, 4,096 codes", maskgit.TITOK_S128, maskgit.official_generator),
    Row("VAR-d16", "2404.02905", "residual pyramid, 4,096 codes", var.VAR_D16, var.official_generator),
    Row("FlexVAR-d16", "2502.20313", "VQ-16, 8,912 codes of any grid", flexvar.FLEXVAR_D16, flexvar.official_generator),
    Row("FAR-B", "2411.16681", "FQGAN, 2 x 16,384 codes", fqgan.FAR_B, fqgan.official_generator),
    Row("ELM-L", "2410.16257", "BAE, 2 x 12 bits", elm.ELM_L, elm.official_generator),
    Row("NAR-B", "2503.10696", "VQ-16, 16,384 codes", nar.NAR_B, nar.official_generator),
    Row("MAR-B", "2406.11838", "KL-16, 16 channels", mar.MAR_BASE, mar.official_generator),
    Row("xAR-B", "2502.20388", "KL-16, 16 channels", xar.XAR_BASE, xar.official_generator),
    Row("ACDiT-B", "2412.07720", "KL-8, 4 channels", acdit.ACDIT_B, acdit.official_generator),
    Row("FlowAR, 64 pixels", "2412.15205", "VAE, 12 channels, a pyramid of copies", flowar.Knobs(), small_flowar),
)


def cells(row: Row) -> list[str]:
    """The row as the page prints it."""
    with torch.device("meta"):
        generator = row.build(row.sizes)
    millions = sum(parameter.numel() for parameter in generator.parameters()) / 1e6
    steps = int(generator.order.decoding_steps(1, generator.layout, None, Rng(0)).max())
    parts = (generator.order, generator.backbone, generator.head, generator.condition)
    names = [f"`{type(part).__name__}`" for part in parts]
    paper = ", ".join(f"[{number}](https://arxiv.org/abs/{number})" for number in row.paper.split(", "))
    return [row.name, paper, row.tokens, str(generator.count), *names, str(steps), f"{millions:.0f} M"]


def parts() -> list[str]:
    """A line per part in use, its first sentence."""
    kinds: dict[str, str] = {}
    for row in ROWS:
        with torch.device("meta"):
            generator = row.build(row.sizes)
        for part in (generator.order, generator.backbone, generator.head, generator.condition):
            said = inspect.cleandoc(type(part).__doc__ or "").split("\n\n")[0].replace("\n", " ")
            kinds[type(part).__name__] = f"| `{type(part).__name__}` | `{type(part).__module__}` | {said} |"
    return list(kinds.values())


def page() -> str:
    """The whole page."""
    heads = ("system", "paper", "tokenizer", "tokens", "order", "backbone", "head", "condition", "steps", "parameters")
    lines = [
        "# Many ways to draw, one loop",
        "",
        "A picture is a sequence of tokens, and a way of drawing is a choice of tokenizer, order, backbone, head and",
        "condition. `Generator.loss` trains every row of this table and `Decoder` draws every row; neither knows one",
        "by name. `scripts/write_paradigms.py` writes the page from the generators themselves, at published sizes;",
        "FlowAR, which its authors have not released, at that of our recipe.",
        "",
        f"| {' | '.join(heads)} |",
        "|" + "---|" * len(heads),
        *(f"| {' | '.join(cells(row))} |" for row in ROWS),
        "",
        "*Steps* is how often the loop asks the backbone unless told otherwise (`--steps`); a head that iterates, as a",
        "diffusion head does, works several times within a step. Weights as their authors released them load by",
        '`limner.load("var_d16.pth")` and are checked against the authors\' code in `tests/parity`.',
        "",
        "## The parts",
        "",
        "| part | where | what |",
        "|---|---|---|",
        *parts(),
        "",
        "A new order or head is one file: [add a system](add-a-system.md).",
        "",
    ]
    return "\n".join(lines)


def main() -> None:
    """Write or check."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="fail if the page is not what the code says")
    options = parser.parse_args()
    text = page()
    if not options.check:
        PAGE.write_text(text, encoding="utf-8")
        print(f"wrote {PAGE}")
    elif PAGE.read_text(encoding="utf-8") != text:
        sys.exit(f"{PAGE} is not what the code says: run python scripts/write_paradigms.py")


if __name__ == "__main__":
    main()
