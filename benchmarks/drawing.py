"""How long a picture takes: cache against none, batch against one by one, steps of the denoising head.

    python benchmarks/drawing.py            # ratios of CPU time in one run on this machine

Ratios are of the best of three repetitions; the first number of a line is CPU seconds per picture.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import limner
from limner.decode.decoder import Decoder
from limner.generators.heads.head import SamplingOptions
from limner.models.text_to_image import TextToImage
from limner.types import Rng

PROMPT = "a red heart left of a blue star"


def seconds(work: Callable[[], object], repeat: int) -> float:
    """Best CPU time of several repetitions."""
    times = []
    for _ in range(repeat):
        began = time.process_time()
        work()
        times.append(time.process_time() - began)
    return min(times)


def drawing(
    model: TextToImage, batch: int, *, cached: bool = True, head_steps: int | None = None
) -> Callable[[], object]:
    """Drawing the tokens of a batch, without decoding them to pixels."""
    decoder = Decoder(model.generator, SamplingOptions(guidance=model.guidance, head_steps=head_steps), cached=cached)
    given = model.subwords.encode([PROMPT] * batch)
    return lambda: decoder(given, Rng(list(range(batch))))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--batch", type=int, default=8)
    options = parser.parse_args()
    raster, mar = limner.load("raster-emoji-64"), limner.load("mar-emoji-64")
    rows = [
        ("raster, cached", drawing(raster, options.batch), options.batch),
        ("raster, no cache", drawing(raster, options.batch, cached=False), options.batch),
        ("raster, cached, one by one", drawing(raster, 1), 1),
        ("mar, 100 head steps", drawing(mar, options.batch, head_steps=100), options.batch),
        ("mar, 50 head steps", drawing(mar, options.batch, head_steps=50), options.batch),
        ("mar, 25 head steps", drawing(mar, options.batch, head_steps=25), options.batch),
        ("mar, 50 head steps, one by one", drawing(mar, 1, head_steps=50), 1),
    ]
    first: float | None = None
    for name, work, batch in rows:
        each = seconds(work, options.repeat) / batch
        first = first or each
        print(f"{name:<32} {each:8.3f} s a picture   {each / first:6.2f} x {rows[0][0]}")


if __name__ == "__main__":
    main()
