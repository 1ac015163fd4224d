"""The same systems by limner, at the published sizes, with the official settings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from contender import Contender, Uninitialised, computed, randomise
from jaxtyping import Float, Int
from torch import Tensor, nn

import limner
from limner.decode.decoder import Decoder
from limner.decode.schedules import constant, with_steps
from limner.generators.generator import Generator
from limner.generators.heads.head import SamplingOptions
from limner.nn.packing import pack
from limner.processes.solvers import Solver, dpm_solver_2m
from limner.store.official import llamagen, mar, maskgit_vqgan, rar, titok, var, xar
from limner.types import Rng

ITERATIONS, XAR_STEPS = 64, 40

Draws = Callable[[Generator], Decoder]


def contender(
    system: str,
    *,
    weights: Path | None,
    precision: torch.dtype,
    device: torch.device,
    share: float = 1.0,
    solver: int = 0,
) -> Contender:
    """One of ours.

    Args:
        system: which, of `BUILD`.
        weights: folder with the official state dicts; None initialises anew.
        precision: of the weights.
        device: on a CPU they are packed besides.
        share: part of MAR's iterations that is computed, and of xAR's steps.
        solver: MAR's tokens by so many steps of DPM-Solver++ in place of 100 of ancestral sampling; 0: not.
    """
    made: dict[str, Any] = {}
    for name, build in BUILD[system].items():
        with Uninitialised():
            made[name] = build() if weights is None else limner.load(weights / f"{name}.pth")
        if weights is None:
            randomise(made[name])
        made[name].eval().requires_grad_(False)
    tokenizer = made["tokenizer"]
    _lower(made, precision)
    for module in made.values():
        module.to(device)
    if system == "titok":
        return Contender(lambda given: _ids(given, 4096, tokenizer.layout.length), tokenizer.decode, made)
    generator = made["generator"]
    if system == "var":
        generator.embed.attach(tokenizer.quantizer)
    decoder = DECODERS[system](generator)
    if system == "mar":
        decoder = _skipping(decoder, round(share * ITERATIONS))
        if solver:
            decoder = replace(decoder, options=replace(decoder.options, solver=dpm_solver_2m, head_steps=solver))
    if system == "xar":
        decoder = replace(decoder, options=replace(decoder.options, head_steps=round(share * XAR_STEPS)))
    return Contender(
        lambda given: decoder(given, Rng(0, device)), tokenizer.decode, made, share if system in ("mar", "xar") else 1.0
    )


def lay_out(made: dict[str, nn.Module]) -> None:
    """Pack the weights for the CPU on which they lie."""
    for module in made.values():
        pack(module)


def _ids(given: Tensor, entries: int, count: int) -> Int[Tensor, "b n"]:
    return torch.randint(entries, (len(given), count), device=given.device)


def _lower(made: dict[str, Any], precision: torch.dtype) -> None:
    """Weights of the generator and of what paints pictures; codebooks keep theirs."""
    if "generator" in made:
        made["generator"].to(precision)
    made["tokenizer"].decoder.to(precision)


def _skipping(decoder: Decoder, iterations: int) -> Decoder:
    """MAR, of which ``iterations`` of 64 are computed; those skipped cost nothing, and draw zeros."""
    generator = decoder.generator
    skipping = SkippingBackbone(generator.backbone, iterations)
    own = Generator(
        layout=generator.layout,
        order=generator.order,
        backbone=skipping,
        head=SkippingHead(generator.head, skipping),
        condition=generator.condition,
    )
    return replace(decoder, generator=own)


class SkippingBackbone(nn.Module):
    """A backbone of which some passes are not computed."""

    def __init__(self, backbone: nn.Module, iterations: int) -> None:
        super().__init__()
        self.backbone, self.width, self.iterations, self.step = backbone, backbone.width, iterations, -1

    @property
    def wanted(self) -> bool:
        """Whether this step is computed."""
        return computed(self.step, ITERATIONS, self.iterations)

    def cache(self) -> None:
        """None; and a drawing begins."""
        self.step = -1

    def forward(self, x: Tensor, steps: Tensor, prefix: Tensor, targets: Tensor, cache: None) -> Float[Tensor, "b m d"]:
        self.step += 1
        if self.wanted:
            return self.backbone(x, steps, prefix, targets, cache)
        return prefix.new_zeros(*targets.shape, self.width)


class SkippingHead(nn.Module):
    """A head that draws zeros where its backbone computed nothing."""

    def __init__(self, head: nn.Module, backbone: SkippingBackbone) -> None:
        super().__init__()
        self.head, self.embed, self.blank, self.loss = head, head.embed, head.blank, head.loss
        self._backbone = (backbone,)

    def most_steps(self, solver: Solver | None) -> int:
        return self.head.most_steps(solver)

    def sample(self, contexts: Tensor, guided: bool, options: SamplingOptions, rng: Rng) -> Float[Tensor, "rows m c"]:
        (backbone,) = self._backbone
        if backbone.wanted:
            return self.head.sample(contexts, guided, options, rng)
        return contexts.new_zeros(len(contexts) // (2 if guided else 1), contexts.shape[1], self.head.channels).float()


Parts = dict[str, Callable[[], Any]]
BUILD: dict[str, Parts] = {
    "var": {"tokenizer": var.official_tokenizer, "generator": partial(var.official_generator, var.VAR_D16)},
    "titok": {"tokenizer": partial(titok.official_tokenizer, titok.TITOK_L32)},
    "llamagen": {
        "tokenizer": llamagen.official_tokenizer,
        "generator": partial(llamagen.official_generator, llamagen.LLAMAGEN_B),
    },
    "rar": {
        "tokenizer": maskgit_vqgan.official_tokenizer,
        "generator": partial(rar.official_generator, rar.RAR_BASE),
    },
    "mar": {"tokenizer": mar.official_tokenizer, "generator": partial(mar.official_generator, mar.MAR_BASE)},
    "xar": {"tokenizer": mar.official_tokenizer, "generator": partial(xar.official_generator, xar.XAR_BASE)},
}
DECODERS: dict[str, Draws] = {
    "var": var.official_decoder,
    "llamagen": lambda generator: Decoder(generator, llamagen.OF_CLASSES, guidance=constant),
    "rar": lambda generator: rar.official_decoder(generator, rar.RAR_BASE),
    "mar": lambda generator: Decoder(generator, SamplingOptions(guidance=2.9), ITERATIONS),
    "xar": lambda generator: Decoder(generator, SamplingOptions(guidance=2.7), guidance=with_steps),
}
