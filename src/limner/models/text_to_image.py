"""Models that draw: a generator and its tokenizer.

    caption or class  ->  condition  ->  Decoder  ->  tokens  ->  tokenizer.decode  ->  pictures

`ImageGenerator` holds what all of them share; `TextToImage` draws captions, and
`limner.models.class_to_image.ClassToImage` classes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from operator import index
from typing import SupportsIndex, TypeAlias, Unpack

import torch
from jaxtyping import Bool, Float, Int, Shaped
from PIL import Image as Pillow
from torch import Tensor, nn

from limner.data.naming import AS_WRITTEN, Naming
from limner.decode.decoder import Accelerator, Decoder, Watch
from limner.decode.options import DrawOptions, with_options
from limner.errors import InputError
from limner.generators.conditions import ConditionInput
from limner.generators.generator import Generator
from limner.languages.subwords import Subwords
from limner.nn.borrowed import Borrowed
from limner.nn.pixels import to_arrays
from limner.tokenizers.folding import fold, unfold
from limner.types import Rng, Steps, Tokenizer, Tokens, derive_seed, whole

BATCH = 32  # pictures drawn at a time
GREY = 0.8  # what is not drawn yet, in [-1, 1]

Pixels: TypeAlias = Float[Tensor, "b 3 *frames h w"]  # an `Image` or a `Clip`
Show: TypeAlias = Callable[[int, int, list[Pillow.Image]], None]  # (step, steps, pictures so far)


class ImageGenerator(nn.Module):
    """What all models that draw share.

    Args:
        generator: draws tokens.
        tokenizer: a module that makes pictures of them; frozen, and no part of this module's state.
        decoder: how the generator wants to be decoded.
        patch: latents on a side that make one token of the generator.
    """

    def __init__(
        self,
        generator: Generator,
        tokenizer: Tokenizer,
        *,
        decoder: Callable[[Generator], Decoder],
        patch: int = 1,
    ) -> None:
        super().__init__()
        self.generator = generator
        assert isinstance(tokenizer, nn.Module)
        tokenizer.eval().requires_grad_(False)
        self.borrowed = Borrowed(tokenizer)
        self.patch, self.decoder = patch, decoder

    @property
    def tokenizer(self) -> Tokenizer:
        """The frozen tokenizer."""
        return self.borrowed.module

    def fold(self, tokens: Tokens) -> Shaped[Tensor, "b m *d"]:
        """The tokenizer's tokens as the generator's."""
        return fold(tokens, self.tokenizer.layout.grids[0], self.patch) if self.patch > 1 else tokens

    def decode(self, tokens: Tokens, rng: Rng | None = None) -> Pixels:
        """The image, or the clip, of the generator's tokens; ``rng`` is that of a tokenizer that samples."""
        if self.patch > 1:
            tokens = unfold(tokens, self.tokenizer.layout.grids[0], self.patch)
        return self.tokenizer.decode(tokens, rng)

    def sketch(self, tokens: Tokens, known: Bool[Tensor, "b m"], rng: Rng | None = None) -> Pixels:
        """The image of tokens that are not all known yet, which ones in all rows alike if they are nested or of a
        pyramid.

        Of a grid the cells that are not known are grey; of a pyramid the scales that are known show it coarsely, and so
        do the first tokens of a nested layout; other tokens of a line have no place, so the whole image comes out of
        the grey as they become known.
        """
        layout, everywhere = self.tokenizer.layout, known.all(0)
        if layout.nested:
            return self.decode(tokens[:, : max(int(everywhere.cumprod(0).sum()), 1)], rng)
        if len(layout.grids) > 1:
            end = [end for start, end in pairwise((0, *layout.ends)) if everywhere[start:end].all()][-1]
            return self.decode(tokens[:, :end], rng)
        (grid,), image, revealed = layout.grids, self.decode(tokens, rng), known.float()
        if len(grid) == 1:
            revealed = revealed.mean(1).reshape(-1, *(1 for _ in image.shape[1:]))
        else:
            *frames, rows, columns = grid
            revealed = revealed.unflatten(1, (1, *frames, rows // self.patch, columns // self.patch))
            revealed = nn.functional.interpolate(revealed, size=image.shape[2:])
        return image * revealed + GREY * (1 - revealed)

    def change_decoder(self, change: Accelerator) -> None:
        """Draw by a changed decoder from now on; what ``change`` refuses, it refuses now."""
        changed = partial(_changed, self.decoder, change)
        changed(self.generator)
        self.decoder = changed

    def own_decoder(self) -> Decoder:
        """The decoder of a drawing without options."""
        return self.decoder(self.generator)

    @torch.no_grad()
    def sample(
        self,
        condition: ConditionInput,
        seeds: Sequence[int],
        watch: Watch | None = None,
        **options: Unpack[DrawOptions],
    ) -> Pixels:
        """The pictures of one batch as a tensor; ``condition`` is what the generator's condition reads, a row for
        each."""
        device = next(self.generator.parameters()).device
        decoder = with_options(self.own_decoder(), **options)
        tokens = decoder(condition.to(device), Rng(list(seeds), device), watch=watch)
        return self.decode(tokens, self.noise(seeds))

    def noise(self, seeds: Sequence[int]) -> Rng:
        """What a tokenizer that samples draws from: the same for a sketch as for the finished image."""
        device = next(self.generator.parameters()).device
        return Rng([derive_seed(seed, "decode") for seed in seeds], device)

    def pictures(
        self, condition: ConditionInput, seeds: Sequence[int], watch: Show | None = None, **options: Unpack[DrawOptions]
    ) -> list[Pillow.Image]:
        """A picture per row and seed, batch by batch; ``watch`` is called after every step, see `sketch`."""

        def show(step: int, total: int, tokens: Tokens, steps: Steps) -> None:
            if watch is not None:
                known = (steps > 0) & (steps <= step)
                watch(step, total, to_pictures(self.sketch(tokens, known, self.noise(seeds[part]))))

        pictures: list[Pillow.Image] = []
        for at in range(0, len(seeds), BATCH):
            part = slice(at, at + BATCH)
            pictures += to_pictures(self.sample(condition[part], seeds[part], show if watch else None, **options))
        return pictures


def _changed(decoder: Callable[[Generator], Decoder], change: Accelerator, generator: Generator) -> Decoder:
    return change(decoder(generator))


class TextToImage(ImageGenerator):
    """Draws captions.

    Args:
        generator: a generator conditioned on `Subwords`.
        subwords: its vocabulary.
        tokenizer, patch: see `ImageGenerator`.
        guidance, temperature, steps: those of ``draw``, unless its options say otherwise.
        decoder: how the generator is decoded besides: schedules, step, cuts.
        naming: how its captions name things, by which prompts are read.
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
        steps: int | None = None,
        decoder: Callable[[Generator], Decoder] = Decoder,
        naming: Naming = AS_WRITTEN,
    ) -> None:
        super().__init__(generator, tokenizer, decoder=decoder, patch=patch)
        self.subwords, self.naming = subwords, naming
        self.guidance, self.temperature, self.steps = guidance, temperature, steps

    def own_decoder(self) -> Decoder:
        """The decoder with this model's own guidance, temperature and steps."""
        own = super().own_decoder()
        return with_options(own, steps=self.steps, guidance=self.guidance, temperature=self.temperature)

    def draw(
        self,
        prompt: str | Sequence[str],
        *,
        n: SupportsIndex = 1,
        seed: SupportsIndex = 0,
        watch: Show | None = None,
        **options: Unpack[DrawOptions],
    ) -> list[Pillow.Image]:
        """``n`` pictures of each prompt, prompt by prompt.

        Picture i of a prompt depends on the prompt, ``seed`` and i alone; what is drawn beside it and the number of
        threads change rounding, at most 1 of 255 in a pixel (docs/reliability.md, 16). ``solver``
        and ``head_steps`` are of models with a diffusion head: ``solver="dpm++", head_steps=10`` takes a fraction of
        the time and is approximate, see `limner.processes.solvers`.

        Models of limner's worlds read emoji characters and their names in 14 languages as the English names, see
        `limner.data.naming`; `unseen` says which words of a prompt mean nothing to the model.

        Args:
            prompt: one caption or several.
            n: pictures per caption, at least 1.
            seed: of all draws.
            watch: called with (step, steps, pictures so far) after every step, see `sketch`.
            options: ``steps``, ``guidance``, ``temperature`` and others, see `DrawOptions`.

        Raises `InputError` for what cannot be drawn, or not with these options.
        """
        condition = self.encoded(prompt, n)
        return self.pictures(condition, seeds_of(len(condition) // index(n), n, seed), watch, **options)

    def encoded(self, prompt: str | Sequence[str], n: SupportsIndex) -> Int[Tensor, "rows k"]:
        """Subwords of one or several prompts, each ``n`` times; raises `InputError` where there are none."""
        prompts = [prompt] if isinstance(prompt, str) else list(prompt)
        if wrong := [text for text in prompts if not isinstance(text, str)]:
            raise InputError(f"{wrong[0]!r} is no prompt: give words such as 'a red heart'")
        if not prompts or any(not text.strip() for text in prompts):
            raise InputError("there is nothing to draw: give a prompt such as 'a red heart'")
        times = whole(n, "the number of pictures of each prompt, n,", 1)
        read = [self.naming.read(text) for text in prompts]
        return self.subwords.encode([text for text in read for _ in range(times)])

    def unseen(self, prompt: str) -> list[str]:
        """Words of a prompt that no caption had from which the model learned: what it draws for them is chance. Empty
        where that is not known, as of captions of one's own, but for letters that none had."""
        read = self.naming.read(prompt)
        return list(dict.fromkeys([*self.subwords.unknown(read), *self.naming.unseen(read)]))

    def images(
        self,
        captions: Sequence[str],
        seeds: Sequence[int],
        *,
        watch: Watch | None = None,
        **options: Unpack[DrawOptions],
    ) -> Pixels:
        """The pictures of one batch as a tensor."""
        return self.sample(self.subwords.encode(captions), seeds, watch, **options)


def seeds_of(subjects: int, n: SupportsIndex, seed: SupportsIndex) -> list[int]:
    """Seeds of ``n`` pictures of each of some subjects: the same n for all of them."""
    times, start = whole(n, "the number of pictures of each, n,", 1), whole(seed, "the seed")
    return [derive_seed(start, "draw", i) for _ in range(subjects) for i in range(times)]


def to_pictures(image: Pixels) -> list[Pillow.Image]:
    """A batch in [-1, 1] as Pillow images; the frames of a clip lie side by side."""
    image = image.movedim(2, 3).flatten(3) if image.ndim == 5 else image
    return [Pillow.fromarray(array) for array in to_arrays(image)]
