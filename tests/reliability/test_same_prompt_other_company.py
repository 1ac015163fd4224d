"""A picture depends on its prompt and seed: company and the number of threads change rounding alone."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

import limner

pytestmark = pytest.mark.timeout(1500)  # on a machine that others use too
TOLERANCE = 1  # of 255: docs/reliability.md, section 16
PROMPTS = ["a red heart", "a small blue star in the top left", "tulip", "a red ring and a green cross", "🚀"]
QUICK = ["maskgit-emoji-64", "var-emoji-64-small"]
SLOW = ["raster-emoji-64", "mar-emoji-64", "limner-64", "var-emoji-64", "xar-emoji-64"]
DRAWERS = [*QUICK, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)]


def drawn(name: str, prompts: list[str]) -> np.ndarray:
    return np.stack([np.asarray(picture, np.int16) for picture in limner.load(name).draw(prompts, seed=7)])


@pytest.mark.parametrize("name", DRAWERS)
def test_company_changes_rounding_alone(name: str, trials: Callable[[int, int], int], record: Callable) -> None:
    prompts = PROMPTS[: trials(2, 5)]
    together, alone = drawn(name, prompts), np.concatenate([drawn(name, [prompt]) for prompt in prompts])
    off = np.abs(together - alone).max((1, 2, 3))
    record(
        "shipped models: prompts together are prompts one by one, within 1/255",
        len(prompts),
        int((off <= TOLERANCE).sum()),
    )


@pytest.mark.parametrize("name", DRAWERS)
def test_threads_change_rounding_alone(name: str, trials: Callable[[int, int], int], record: Callable) -> None:
    prompts, before = PROMPTS[: trials(1, 5)], torch.get_num_threads()
    try:
        made = []
        for threads in (1, 2):
            torch.set_num_threads(threads)
            made.append(drawn(name, prompts))
    finally:
        torch.set_num_threads(before)
    off = np.abs(made[0] - made[1]).max((1, 2, 3))
    record("shipped models: one thread draws what two do, within 1/255", len(prompts), int((off <= TOLERANCE).sum()))


@pytest.mark.parametrize("name", ["vae-64", "vq-vae-64", "multiscale-64", "titok-64"])
def test_tokens_and_pictures_in_company(name: str) -> None:
    model, rng = limner.load(name), np.random.default_rng(1)
    pictures = [rng.integers(0, 256, (64, 64, 3), np.uint8) for _ in range(4)]
    with torch.no_grad():
        together, alone = model.encode(pictures), torch.cat([model.encode(one) for one in pictures])
        assert torch.allclose(together.float(), alone.float(), atol=1e-4)
        assert torch.allclose(model.decode(together[:2])[1:], model.decode(together[1:2]), atol=1e-4)
