"""A model that draws: tokenizer, vocabulary and generator under one roof, from a prompt to pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, cast

import torch
from jaxtyping import Bool, Shaped
from PIL import Image as Pillow
from torch import Tensor, nn

from limner.decode.decoder import Decoder
from limner.errors import InputError
from limner.generators.generator import Generator
from limner.languages.subwords import Subwords
from limner.nn.pixels import to_arrays
from limner.processes.solvers import Solver
from limner.tokenizers.folding import fold, unfold
from limner.types import Image, Layout, Rng, Steps, Tokenizer, Tokens, derive_seed

BATCH = 32  # pictures drawn at a time
GREY = 0.8  # what is not drawn yet, in [-1, 1]


class Drawer(nn.Module):
    """Draws captions.

    Args:
        generator: a generator conditioned on `Subwords`.
        subwords: its vocabulary.
        tokenizer: a module that makes pictures of its tokens; frozen, and no part of this module's state.
        patch: latents on a side that make one token of the generator.
        guidance, temperature, passes: what ``draw`` uses unless told otherwise.
        decoder: how the generator wants to be decoded besides: schedules, ranking, which tail is cut.
    """

    def __init__(
        self,
        generator: Generator,
        subwords: Subwords,
        tokenizer: Tokenizer,
        *,
        patch: int = 1,
        guidance: float = 1.0,
        temperature: float = 1.0,
        passes: int | None = None,
        decoder: Callable[[Generator], Decoder] = Decoder,
    ) -> None:
        super().__init__()
        self.generator, self.subwords = generator, subwords
        assert isinstance(tokenizer, nn.Module)
        self._frozen: tuple[nn.Module] = (tokenizer.eval().requires_grad_(False),)
        self.patch, self.decoder = patch, decoder
        self.guidance, self.temperature, self.passes = guidance, temperature, passes

    @property
    def tokenizer(self) -> Tokenizer:
        """The frozen tokenizer."""
        return cast(Tokenizer, self._frozen[0])

    def _apply(self, fn: Callable[..., Any], recurse: bool = True) -> Drawer:
        self._frozen[0]._apply(fn, recurse)
        return super()._apply(fn, recurse)

    def fold(self, tokens: Tokens) -> Shaped[Tensor, "b m *d"]:
        """The tokenizer's tokens as the generator's."""
        return fold(tokens, self._side(), self.patch) if self.patch > 1 else tokens

    def decode(self, tokens: Tokens) -> Image:
        """The picture of the generator's tokens."""
        return self.tokenizer.decode(unfold(tokens, self._side(), self.patch) if self.patch > 1 else tokens)

    def sketch(self, tokens: Tokens, known: Bool[Tensor, "b m"]) -> Image:
        """The picture of tokens that are not all known yet, which ones in all rows alike if they are of a pyramid.

        Of a grid the cells that are not known are grey; of a pyramid the scales that are known show it coarsely; tokens
        of a line have no place, so the whole picture comes out of the grey as they become known.
        """
        grids = self.tokenizer.layout.grids
        if len(grids) > 1:
            ends = [Layout(grids[:scale]).length for scale in range(1, len(grids) + 1)]
            return self.decode(tokens[:, : max(end for end in ends if known[:, :end].all())])
        ((rows, columns),), image, shown = grids, self.decode(tokens), known.float()
        if rows == 1:
            shown = shown.mean(1)[:, None, None, None]
        else:
            shown = shown.unflatten(1, (1, rows // self.patch, columns // self.patch))
            shown = nn.functional.interpolate(shown, size=image.shape[-2:])
        return image * shown + GREY * (1 - shown)

    def _side(self) -> int:
        """Tokens of the tokenizer on a side of its square."""
        (side, _), *_ = self.tokenizer.layout.grids
        return side

    def draw(
        self,
        prompt: str | Sequence[str],
        *,
        n: int = 1,
        seed: int = 0,
        steps: int | None = None,
        guidance: float | None = None,
        temperature: float | None = None,
        watch: Callable[[int, int, list[Pillow.Image]], None] | None = None,
    ) -> list[Pillow.Image]:
        """``n`` pictures of each prompt, prompt by prompt.

        Picture i of a prompt depends on the prompt, ``seed`` and i alone, not on what is drawn beside it.

        Args:
            prompt: one caption or several.
            n: pictures per caption, at least 1.
            seed: of all draws.
            steps: passes of the generator; None takes the model's own number.
            guidance: 1 is none; None takes the model's own.
            temperature: 0 is least random; None takes the model's own.
            watch: called with (step, steps, pictures so far) after every pass, see `sketch`.
        """
        prompts = [prompt] if isinstance(prompt, str) else list(prompt)
        if not prompts or any(not text.strip() for text in prompts):
            raise InputError("there is nothing to draw: give a prompt such as 'a red heart'")
        if n < 1:
            raise InputError(f"{n} pictures cannot be drawn: ask for at least 1")
        if temperature is not None and not temperature >= 0:
            raise InputError(f"temperature is {temperature}, but must not be negative: 0 is least random")
        captions = [text for text in prompts for _ in range(n)]
        seeds = [derive_seed(seed, "draw", i) for _ in prompts for i in range(n)]
        pictures: list[Pillow.Image] = []
        for at in range(0, len(captions), BATCH):
            part = slice(at, at + BATCH)
            image = self.images(
                captions[part],
                seeds[part],
                steps=steps,
                guidance=guidance,
                temperature=temperature,
                watch=self._watcher(watch),
            )
            pictures += to_pictures(image)
        return pictures

    def images(
        self,
        captions: Sequence[str],
        seeds: Sequence[int],
        *,
        steps: int | None = None,
        guidance: float | None = None,
        temperature: float | None = None,
        head_steps: int | None = None,
        solver: Solver | None = None,
        watch: Callable[[int, int, Tokens, Steps], None] | None = None,
    ) -> Image:
        """The pictures of one batch as a tensor; ``head_steps`` and ``solver`` are those of a diffusion head."""
        device = next(self.generator.parameters()).device
        decoder = self.decoder(self.generator)
        policy = replace(
            decoder.policy,
            guidance=self.guidance if guidance is None else guidance,
            temperature=self.temperature if temperature is None else temperature,
            head_steps=decoder.policy.head_steps if head_steps is None else head_steps,
            solver=decoder.policy.solver if solver is None else solver,
        )
        decoder = replace(decoder, policy=policy, passes=self.passes if steps is None else steps)
        given = self.subwords.encode(captions).to(device)
        with torch.no_grad():
            return self.decode(decoder(given, Rng(list(seeds), device), watch=watch))

    def _watcher(
        self, watch: Callable[[int, int, list[Pillow.Image]], None] | None
    ) -> Callable[[int, int, Tokens, Steps], None] | None:
        if watch is None:
            return None

        def show(step: int, total: int, tokens: Tokens, steps: Steps) -> None:
            watch(step, total, to_pictures(self.sketch(tokens, steps <= step)))

        return show


def to_pictures(image: Image) -> list[Pillow.Image]:
    """A batch in [-1, 1] as Pillow images."""
    return [Pillow.fromarray(array) for array in to_arrays(image)]
