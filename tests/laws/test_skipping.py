"""SkipDecode: fewer layers for later tokens, every key that a layer needs, and nothing else where none is skipped."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from tests.laws.test_speculative import CLASSES, LABELS, SEEDS, WIDTH, generator
from torch import nn

from limner.decode.decoder import Decoder
from limner.decode.speculative import Speculative
from limner.errors import InputError
from limner.generators.backbones.llama import LlamaTransformer
from limner.generators.backbones.masked import MaskedAutoencoder
from limner.generators.generator import Generator
from limner.generators.heads.head import SamplingOptions
from limner.nn.blocks import Stack, unchanged
from limner.recipes.techniques.skipdecode import Knobs, Skipping, apply
from limner.types import Rng

DEPTH = 5


def deep(rows: int) -> nn.Module:
    return LlamaTransformer(grid=(rows, 3), prefix=2, width=WIDTH, depth=DEPTH, heads=2, hidden=32)


def deep_generator() -> Generator:
    made = generator(deep)
    assert made.condition.embedding.num_embeddings == CLASSES
    return made


def layers_run(decoder: Decoder) -> list[list[int]]:
    """Which layers' attention ran, pass by pass."""
    passes: list[list[int]] = []
    blocks = decoder.generator.backbone.blocks
    assert isinstance(blocks, Stack)
    hooks = [decoder.generator.backbone.register_forward_pre_hook(lambda module, inputs: passes.append([]))]
    hooks += [
        block.attn.register_forward_pre_hook(lambda module, inputs, layer=layer: passes[-1].append(layer))
        for layer, block in enumerate(blocks)
    ]
    decoder(LABELS[:1], Rng([3]))
    for hook in hooks:
        hook.remove()
    return passes


def test_the_first_layer_and_the_top_ones_run_ever_fewer() -> None:
    run = layers_run(apply(Decoder(deep_generator()), Knobs(least=0.4)))
    assert run[0] == list(range(DEPTH))
    assert run[-1] == [0, DEPTH - 1]
    counts = [len(layers) for layers in run]
    assert counts == sorted(counts, reverse=True)
    for layers in run:
        assert layers == [0, *range(DEPTH - len(layers) + 1, DEPTH)]
    for earlier, later in pairwise(run):
        assert set(later) <= set(earlier)


def test_the_control_runs_as_many_layers_but_the_lowest() -> None:
    made = deep_generator()
    hook = Skipping(DEPTH, made.count, 0.4, top=True)
    run = layers_run(Decoder(made, hooks=(hook,)))
    assert [len(layers) for layers in run] == [len(one) for one in layers_run(apply(Decoder(made), Knobs(least=0.4)))]
    assert all(layers == list(range(len(layers))) for layers in run)


@pytest.mark.parametrize("guidance", [1.0, 2.0])
def test_all_layers_are_the_model_and_fewer_are_not(guidance: float) -> None:
    decoder = Decoder(deep_generator(), SamplingOptions(guidance=guidance))
    plain = decoder(LABELS, Rng(SEEDS))
    assert torch.equal(apply(decoder, Knobs(least=1.0))(LABELS, Rng(SEEDS)), plain)
    assert not torch.equal(apply(decoder, Knobs(least=0.2))(LABELS, Rng(SEEDS)), plain)
    assert decoder.generator.backbone.blocks.between is unchanged  # no hook stays behind


def test_a_batch_is_its_pictures() -> None:
    decoder = apply(Decoder(deep_generator(), SamplingOptions(guidance=2.0)), Knobs(least=0.4))
    together = decoder(LABELS, Rng(SEEDS))
    for row, seed in enumerate(SEEDS):
        assert torch.equal(decoder(LABELS[row : row + 1], Rng([seed])), together[row : row + 1])


def test_drafts_are_verified_by_the_layers_that_are_left() -> None:
    decoder = replace(apply(Decoder(deep_generator()), Knobs(least=0.4)), step=Speculative(window=3))
    assert decoder(LABELS, Rng(SEEDS)).shape == (4, 12)


def test_what_has_no_layers_to_skip_is_refused() -> None:
    made = deep_generator()
    with pytest.raises(InputError, match="layers are skipped by what is cached"):
        apply(Decoder(made, cached=False), Knobs())(LABELS, Rng(SEEDS))
    with pytest.raises(InputError, match="a share of 0.0 of the layers cannot be run"):
        apply(Decoder(made), Knobs(least=0.0))
    made.backbone = MaskedAutoencoder(count=12, prefix=2, width=16, encoder_depth=1, decoder_depth=1, heads=2)
    with pytest.raises(InputError, match="a MaskedAutoencoder is no single stack of blocks"):
        apply(Decoder(made), Knobs())
