"""What a recipe builds learns: after a few hundred steps on four pictures each caption draws the tokens of its own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor

pytestmark = pytest.mark.timeout(300)  # the first test of a session trains what it needs

CAPTIONS = ("a red heart", "a blue star", "grass", "night")
OVERFIT: dict[str, Any] = {
    "batch": 16,
    "ema": 64,
    "warmup": 160,
    "lr": 3e-3,
    "muon": 1e-2,
    "schedule": "constant",
}


@pytest.fixture
def captions(tmp_path: Path) -> Path:
    """A folder of four captions; what their pictures show does not matter."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name in CAPTIONS:
        Image.new("RGB", (32, 32)).save(folder / f"{name}.png")
        (folder / f"{name}.txt").write_text(name)
    return folder


def random_tokens(kept: dict[str, Tensor]) -> dict[str, Tensor]:
    """As many tokens as a tokenizer has kept, of pictures that have nothing in common."""
    dice = torch.Generator().manual_seed(1)
    if "ids" in kept:
        return {"ids": torch.randint(32, kept["ids"].shape, dtype=torch.int32, generator=dice)}
    mean = torch.randn(kept["mean"].shape, generator=dice)
    return {"mean": mean, "deviation": torch.zeros_like(mean)}


def apart(drawn: Tensor, wanted: Tensor) -> Tensor:
    """How far each drawing is from each picture: share of other ids, or squared error."""
    if drawn.is_floating_point():
        return (drawn[:, None] - wanted).square().mean((2, 3))
    return (drawn[:, None] != wanted).float().mean(2)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "images"),
    [
        ("acdit", 4_800),
        ("flowar", 1_600),
        ("llamagen", 1_600),
        ("maskgit", 1_600),
        ("nar", 1_600),
        ("rar", 1_600),
        ("var", 1_600),
        ("xar", 1_600),
    ],
)
def test_each_caption_draws_its_picture(trained, captions, name, images):
    from limner.train import loop
    from limner.types import Rng

    zoo, out = trained(f"generators/{name}"), captions.parent / "run"
    steps = {"head_steps": 10} if hasattr(zoo.knobs, "head_steps") else {}
    knobs = replace(zoo.knobs, data=captions, out=out, images=images, **OVERFIT, **steps)
    torch.manual_seed(0)
    task = zoo.recipe.task(knobs)
    pictures = task.batch.__self__.pictures
    pictures.kept = random_tokens(pictures.kept)
    wanted = pictures.tokens(torch.arange(4), Rng(0))
    model = loop.train(task, knobs, out, bar=False).average.model
    decoder = model.decoder(model.generator)
    given = model.subwords.encode(pictures.captions)
    drawn = replace(decoder, steps=model.steps)(given, Rng([5, 6, 7, 8]))
    distance = apart(drawn, wanted)
    own, others = distance.diagonal(), distance[~torch.eye(4, dtype=torch.bool)]
    assert own.max() < 0.5 * others.min()
