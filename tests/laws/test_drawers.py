"""Models that draw: with the options of the call, or a sentence that says why not."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from limner.decode.decoder import Decoder
from limner.decode.options import DrawOptions, with_options
from limner.errors import InputError
from limner.generators.backbones.masked import MaskedAutoencoder
from limner.generators.conditions import CaptionFeatures, ClassCondition
from limner.generators.generator import Generator
from limner.generators.heads.categorical import CategoricalHead
from limner.generators.heads.diffusion import DiffusionHead
from limner.generators.heads.head import Head, SamplingOptions
from limner.generators.heads.trunk import Flow, TrunkHead
from limner.generators.orders import RandomMasked
from limner.models.class_to_image import ClassToImage
from limner.processes.solvers import SOLVERS, ddim, dpm_solver_2m
from limner.tokenizers.kl import KlAutoencoder
from limner.types import Layout, Rng

SIDE, CHANNELS, WIDTH, CLASSES = 2, 4, 16, 5


def denoising() -> Head:
    return DiffusionHead(CHANNELS, WIDTH, width=16, depth=1, steps=20)


def generator(head: Head, condition: Any = None) -> Generator:
    torch.manual_seed(0)
    count, heads = SIDE**2, 2
    backbone = MaskedAutoencoder(count=count, prefix=1, width=WIDTH, encoder_depth=1, decoder_depth=1, heads=heads)
    made = Generator(
        layout=Layout(((count,),)),
        order=RandomMasked(),
        backbone=backbone,
        head=head,
        condition=condition or ClassCondition(CLASSES, WIDTH, 1),
    )
    for parameter in made.parameters():  # what begins at zero must speak too
        torch.nn.init.normal_(parameter, std=0.2)
    return made.eval()


@pytest.fixture(scope="module")
def drawer() -> ClassToImage:
    made = generator(denoising())
    tokenizer = KlAutoencoder(size=8, width=32, multipliers=(1, 1, 1), channels=CHANNELS)
    return ClassToImage(made, tokenizer, decoder=lambda made: Decoder(made, SamplingOptions(guidance=3.0), 3))


def test_classes_are_drawn_each_by_itself(drawer: ClassToImage) -> None:
    pictures = drawer.draw(classes=[4, 0], n=2, seed=7)
    assert [picture.size for picture in pictures] == [(8, 8)] * 4
    assert drawer.draw(0, n=2, seed=7) == pictures[2:]
    assert drawer.draw([4], n=1, seed=7) == pictures[:1]
    assert drawer.draw([4], seed=8) != pictures[:1]
    assert drawer.draw(-1, n=2, seed=7) != pictures[:2]


def test_a_class_drawer_draws_as_its_decoder_says(drawer: ClassToImage) -> None:
    own, given, seeds = drawer.decoder(drawer.generator), torch.tensor([2]), [5]
    tokens = own(given, Rng(seeds))
    assert torch.equal(drawer.sample(given, seeds), drawer.tokenizer.decode(tokens))
    steps: list[int] = []
    drawer.draw(2, steps=4, watch=lambda step, total, seen: steps.append(total))
    assert steps == [4] * 4
    assert drawer.draw(2, guidance=1.0) != drawer.draw(2)


def test_a_solver_by_its_name_is_the_solver(drawer: ClassToImage) -> None:
    plain = drawer.decoder(drawer.generator)
    for name, solver in SOLVERS.items():
        options = with_options(plain, solver=name, head_steps=4).options
        assert (options.solver, options.head_steps, options.guidance) == (solver, 4, 3.0)
    kept = Decoder(plain.generator, SamplingOptions(solver=ddim, head_steps=6))
    assert with_options(kept, steps=None, solver=None).options == kept.options
    assert with_options(kept, solver="ancestral").options.solver is None
    assert drawer.draw(1, solver="dpm++", head_steps=4) == drawer.draw(1, solver=dpm_solver_2m, head_steps=4)
    assert drawer.draw(1, solver="dpm++", head_steps=4) != drawer.draw(1, solver="heun", head_steps=4)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (DrawOptions(head_steps=0), "head_steps is 0, but must be at least 1"),
        (DrawOptions(head_steps=1001), "choose from 1 to 1000"),
        (DrawOptions(head_steps=995, solver="heun"), "choose from 1 to 990"),
        (DrawOptions(guidance=-1.0), "guidance is -1.0, but must not be negative"),
        (DrawOptions(temperature=-1.0), "temperature is -1.0"),
        (DrawOptions(top_k=3), "DiffusionHead draws no ids"),
        (DrawOptions(top_p=0.5), "DiffusionHead draws no ids"),
        (DrawOptions(solver="euler"), "no solver 'euler': choose ancestral, ddim, heun, dpm"),
    ],
)
def test_options_that_cannot_be_are_refused(drawer: ClassToImage, options: DrawOptions, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        drawer.draw(0, **options)


@pytest.mark.slow
def test_the_most_steps_can_be_taken() -> None:
    head = DiffusionHead(1, WIDTH, width=16, depth=1)
    for solver in SOLVERS.values():
        options = SamplingOptions(solver=solver, head_steps=head.most_steps(solver))
        assert head.sample(torch.zeros(1, 1, WIDTH), False, options, Rng(0)).isfinite().all()


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize(
    ("head", "sentence"),
    [
        (CategoricalHead(20, WIDTH), "draws a token at once, by a CategoricalHead"),
        (TrunkHead(CHANNELS, WIDTH, Flow()), "a sampler of its own"),
    ],
)
def test_a_head_without_a_choice_is_not_given_one(head: Head, sentence: str, solver: str) -> None:
    with pytest.raises(InputError, match=sentence):
        with_options(Decoder(generator(head)), solver=solver)


def test_steps_of_what_has_none_are_refused() -> None:
    made = generator(CategoricalHead(20, WIDTH))
    with pytest.raises(InputError, match="at once"):
        Decoder(made, SamplingOptions(head_steps=3))
    assert with_options(Decoder(generator(TrunkHead(CHANNELS, WIDTH, Flow()))), head_steps=3).options.head_steps == 3


def test_a_cut_without_a_tail_is_refused_and_one_of_a_head_of_ids_is_made() -> None:
    plain = Decoder(generator(CategoricalHead(20, WIDTH)))
    assert with_options(plain, top_k=3, top_p=0.5).options == SamplingOptions(top_k=3, top_p=0.5)
    with pytest.raises(InputError, match=r"top_p is 0\.0, but must be above 0"):
        with_options(plain, top_p=0.0)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"classes": []}, "nothing to draw"),
        ({"classes": 5}, "no class 5: give numbers from 0 to 4, or -1"),
        ({"classes": [0, -2]}, "no class -2"),
        ({"classes": 0, "n": 0}, "at least 1"),
    ],
)
def test_what_is_no_class_is_refused(drawer: ClassToImage, options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        drawer.draw(**options)


def test_what_does_not_belong_together_is_refused() -> None:
    made, decoder = generator(denoising()), Decoder
    small = KlAutoencoder(size=4, width=32, multipliers=(1, 1, 1), channels=CHANNELS)
    with pytest.raises(InputError, match="as 1 tokens, but the generator draws 4"):
        ClassToImage(made, small, decoder=decoder)
    captioned = generator(denoising(), CaptionFeatures(8, WIDTH, count=1))
    with pytest.raises(InputError, match="features of captions"):
        ClassToImage(captioned, small, decoder=decoder)
