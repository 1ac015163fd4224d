"""NAR against the authors' code: same weights, same draws, same numbers."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tests.parity.drawing import Replaying
from tests.parity.goldens import Golden, Replay, agree, goldens
from tests.parity.test_llamagen import logits, steering
from tests.parity.test_llamagen import sizes as sizes_of_golden
from torch import Tensor

from limner.decode.decoder import Decoder
from limner.errors import CheckpointError
from limner.generators.generator import Generator
from limner.nn.blocks import Context
from limner.nn.rope import Rotary
from limner.store.official.nar import (
    GENERATOR_NAMES,
    NAR_B,
    NAR_L,
    NAR_M,
    NAR_XL,
    NAR_XL_CAPTIONS,
    NAR_XXL,
    RELEASES,
    LlamaGenSizes,
    official_generator,
    sizes_of,
)
from limner.store.release import official_name
from limner.store.released import recognise
from limner.types import Rng

(RELEASE,) = RELEASES
PARTS = {"nar_c2i": "gpt", "nar_t2i": "t2i"}


def sizes(golden: Golden) -> LlamaGenSizes:
    return sizes_of_golden(golden, part=PARTS[golden.card["name"]])


def state(golden: Golden) -> dict[str, Tensor]:
    return golden.under(f"state.{PARTS[golden.card['name']]}.")


def filled(golden: Golden) -> Generator:
    generator = official_generator(sizes(golden)).eval()
    RELEASE.fill(generator, state(golden))
    return generator


def given(golden: Golden) -> Tensor:
    """Classes or captions."""
    return golden["in.labels"] if "in.labels" in golden.tensors else golden["in.caption"]


def dropped(golden: Golden) -> Tensor:
    return golden["in.train.drop_rand"] < sizes(golden).drop


def in_order(raster: Tensor) -> Tensor:
    """Tokens ``[b, n]`` as the diagonals draw them, from top right to bottom left."""
    side = round(raster.shape[1] ** 0.5)
    index = torch.arange(raster.shape[1])
    return raster[:, (index // side + index % side).argsort(stable=True)]


def test_no_golden_is_missing() -> None:
    assert DRAWINGS
    assert goldens("nar_t2i", having="out.gen.seq")


# Network and loss


@pytest.mark.parametrize("golden", goldens("nar_c2i", having="out.rope"))
def test_rotary_table(golden: Golden) -> None:
    agree(filled(golden).backbone.sequence.table, golden["out.rope"])


def every_slot(golden: Golden, generator: Generator) -> tuple[Tensor, Context]:
    """Those of the official forward pass, which holds the last token too, though nothing is predicted from it."""
    states = torch.cat(
        [generator.condition(given(golden), dropped(golden)).prefix, generator.head.embed(golden["in.tokens"])], 1
    )
    return states, Context(golden["out.mask"], Rotary(generator.backbone.sequence.table))


@pytest.mark.parametrize("golden", goldens("nar_c2i", having="out.train.logits_right"))
@torch.no_grad()
def test_logits_of_each_head(golden: Golden) -> None:
    generator = filled(golden)
    backbone = generator.backbone
    right, below = backbone.sides(*every_slot(golden, generator))
    of_right, of_below = generator.head.output.weight.chunk(2, dim=1)
    agree(backbone.norm(right) @ of_right.T, golden["out.train.logits_right"])
    agree(backbone.below_norm(below) @ of_below.T, golden["out.train.logits_below"])


@pytest.mark.parametrize(
    "golden", [*goldens("nar_c2i", having="out.mask"), *goldens("nar_t2i", having="in.train.mask")]
)
@torch.no_grad()
def test_who_sees_whom(golden: Golden) -> None:
    """Ours leaves out the slot of the last token, and numbers slots by diagonals."""
    generator, tokens = filled(golden), golden["in.tokens"]
    steps = generator.order.training_steps(len(tokens), generator.layout, Rng(0))
    prefix = generator.condition(given(golden), torch.zeros(len(tokens), dtype=torch.bool))
    by_diagonals = steps[0].argsort(stable=True)
    _, context = generator.backbone.sequence(generator.head.embed(tokens), steps, prefix, by_diagonals, 0)
    official = golden["out.mask"] if "out.mask" in golden.tensors else golden["in.train.mask"]
    count = prefix.prefix.shape[1]
    order = torch.cat([torch.arange(count), count + by_diagonals[:-1]])
    official = official[..., order, :][..., order]
    assert torch.equal(context.mask.reshape(official.shape), official)


@pytest.mark.parametrize("golden", goldens("nar_c2i", "nar_t2i", having="out.train.logits"))
@torch.no_grad()
def test_logits(golden: Golden) -> None:
    agree(logits(filled(golden), golden["in.tokens"], given(golden), dropped(golden)), golden["out.train.logits"])


@pytest.mark.parametrize("golden", goldens("nar_c2i", "nar_t2i", having="out.train.loss"))
def test_loss_and_gradients(golden: Golden) -> None:
    generator = filled(golden).train()
    replay = Replay(uniform=[golden["in.train.drop_rand"]])
    loss = generator.loss(golden["in.tokens"], given(golden), replay)
    replay.finish()
    agree(loss, golden["out.train.loss"])
    loss.backward()
    ours = {official_name(name, GENERATOR_NAMES): parameter.grad for name, parameter in generator.named_parameters()}
    ours["output.weight"], ours["medusa_output.weight"] = ours.pop("outputs").chunk(2, dim=1)
    if "cls_embedding.classes" in ours:
        table = [ours.pop("cls_embedding.classes"), ours.pop("cls_embedding.nothing")]
        ours["cls_embedding.embedding_table.weight"] = torch.cat(table)
    recorded = golden.under("out.train.grad.")
    assert recorded
    for name, wanted in recorded.items():
        scale = wanted.abs().max().clamp_min(1e-12)
        agree(ours[name] / scale, wanted / scale)


# Drawing


DRAWINGS = [
    pytest.param(case.values[0], index, id=f"{case.id}-{index}")
    for case in goldens("nar_c2i")
    for index in range(len(case.values[0].config["gen"]))
]


@pytest.mark.parametrize("cached", [True, False])
@pytest.mark.parametrize(
    ("golden", "index"), [*DRAWINGS, *(pytest.param(c.values[0], "", id=c.id) for c in goldens("nar_t2i"))]
)
@torch.no_grad()
def test_drawing(golden: Golden, index: int | str, cached: bool) -> None:
    name = f"gen{index}"
    options = golden.card["extra"].get(f"{name}_kwargs") or golden.config["gen"][index]
    generator, ids = filled(golden), golden[f"in.{name}.draws"]
    generator.head = head = Replaying(generator.head, ids)
    policy, schedule = steering(options, behind=0)
    tokens = Decoder(generator, policy, guidance=schedule, cached=cached)(given(golden)[: len(ids)], Rng(0))
    assert torch.equal(tokens.int(), golden[f"out.{name}.seq"])
    assert torch.equal(in_order(tokens), ids)
    assert [part.shape[1] for part in head.raw] == [len(slots) for slots in positions(golden, name)]
    head.compare(golden[f"out.{name}.raw_logits"], golden[f"out.{name}.probs"])


def positions(golden: Golden, name: str) -> list[list[int]]:
    """Of the tokens drawn in each call: those that the next call is fed; the last call's, one, are fed to none."""
    return [*golden.card["extra"][f"{name}_input_positions"][1:], [0]]


# Names and sizes


@pytest.mark.parametrize(
    ("size", "millions"),
    [(NAR_B, 130.6), (NAR_M, 295.5), (NAR_L, 372.5), (NAR_XL, 816.0), (NAR_XXL, 1464.5), (NAR_XL_CAPTIONS, 819.0)],
)
def test_published_sizes(size: LlamaGenSizes, millions: float) -> None:
    """Millions of parameters, counted by the official code."""
    with torch.device("meta"):
        generator = official_generator(size)
    assert sum(p.numel() for p in generator.parameters()) / 1e6 == pytest.approx(millions, rel=1e-3)


@pytest.mark.parametrize("size", [NAR_B, NAR_M, NAR_XL_CAPTIONS])
def test_sizes_are_read_from_shapes(size: LlamaGenSizes) -> None:
    with torch.device("meta"):
        generator = official_generator(size)
        named = {official_name(name, GENERATOR_NAMES): value for name, value in generator.state_dict().items()}
        again = official_generator(sizes_of(named))
    shapes = [{name: value.shape for name, value in made.state_dict().items()} for made in (generator, again)]
    assert shapes[0] == shapes[1]
    assert again.count == generator.count


@pytest.mark.parametrize("golden", goldens("nar_c2i", "nar_t2i"))
def test_a_llamagen_is_refused(golden: Golden) -> None:
    """Loaded loosely it would leave a head and a block at random."""
    theirs = state(golden)
    assert recognise(theirs, Path("nar.pt")) is RELEASES[0]
    del theirs["medusa_output.weight"], theirs["medusa_norm.weight"]
    assert recognise(theirs, Path("llamagen.pt")).system == "llamagen"
    with pytest.raises(
        CheckpointError, match=r"lacks medusa_output\.weight, medusa_norm\.weight, as a LlamaGen's does"
    ):
        RELEASE.fill(official_generator(sizes(golden)), theirs)
