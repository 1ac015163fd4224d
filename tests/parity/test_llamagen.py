"""LlamaGen against the authors' code: same weights, same draws, same numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tests.parity.drawing import Replaying
from tests.parity.goldens import Golden, Replay, agree, described, goldens
from torch import Tensor

from limner.decode.decoder import Decoder
from limner.decode.schedules import Schedule, constant, early
from limner.errors import CheckpointError
from limner.generators.generator import Generator
from limner.generators.heads.head import SamplingOptions
from limner.nn.norms import gated_hidden
from limner.store.official import llamagen
from limner.store.official.llamagen import (
    GENERATOR_NAMES,
    HEADS,
    LLAMAGEN_3B,
    LLAMAGEN_B,
    LLAMAGEN_L,
    LLAMAGEN_XL,
    LLAMAGEN_XL_CAPTIONS,
    LLAMAGEN_XXL,
    RELEASES,
    VQ_8,
    VQ_16,
    LlamaGenSizes,
    LlamaGenTokenizerSizes,
    official_generator,
    official_tokenizer,
    prepared,
    sizes_of,
)
from limner.store.release import official_name
from limner.store.released import recognise
from limner.tokenizers.quantizers.learned import assignment_entropy
from limner.tokenizers.vqgan import Vqgan
from limner.types import Rng

GENERATOR, TOKENIZER = RELEASES


def sizes(golden: Golden, *, part: str = "gpt") -> LlamaGenSizes:
    """The official configuration in our words; ``t2i`` draws from captions."""
    config, state = golden.config["gpt"], golden.under(f"state.{part}.")
    captioned = part == "t2i"
    return LlamaGenSizes(
        width=config["dim"],
        depth=config["n_layer"],
        heads=config["n_head"],
        hidden=gated_hidden(config["dim"], config["multiple_of"]),
        side=round(config["block_size"] ** 0.5),
        entries=config["vocab_size"],
        classes=0 if captioned else config["num_classes"],
        words=len(state["cls_embedding.uncond_embedding"]) if captioned else 0,
        features=golden.config["cap"],
        drop=config["class_dropout_prob"],
        dropout=config["resid_dropout_p"],
    )


def filled(golden: Golden, *, part: str = "gpt") -> Generator:
    generator = official_generator(sizes(golden, part=part)).eval()
    GENERATOR.fill(generator, golden.under(f"state.{part}."))
    return generator


def logits(generator: Generator, tokens: Tensor, given: Tensor, dropped: Tensor) -> Tensor:
    """Of every token."""
    steps = generator.order.training_steps(len(tokens), generator.layout, Rng(0))
    wanted = torch.arange(tokens.shape[1]).expand_as(tokens)
    return generator.head.logits(generator.contexts(tokens, steps, generator.condition(given, dropped), wanted))


def test_no_golden_is_missing() -> None:
    assert DRAWINGS


# Network and loss


@pytest.mark.parametrize("golden", goldens("llamagen_c2i", having="out.rope"))
def test_rotary_table(golden: Golden) -> None:
    agree(filled(golden).backbone.sequence.table, golden["out.rope"])


@pytest.mark.parametrize("golden", goldens("llamagen_c2i", having="out.train.logits"))
@torch.no_grad()
def test_logits(golden: Golden) -> None:
    generator = filled(golden)
    dropped = golden["in.train.drop_rand"] < sizes(golden).drop
    agree(logits(generator, golden["in.tokens"], golden["in.labels"], dropped), golden["out.train.logits"])


@pytest.mark.parametrize("golden", goldens("llamagen_c2i", having="out.train.loss"))
def test_loss_and_gradients(golden: Golden) -> None:
    generator = filled(golden).train()
    replay = Replay(uniform=[golden["in.train.drop_rand"]])
    loss = generator.loss(golden["in.tokens"], golden["in.labels"], replay)
    replay.finish()
    agree(loss, golden["out.train.loss"])
    loss.backward()
    ours = {official_name(name, GENERATOR_NAMES): parameter.grad for name, parameter in generator.named_parameters()}
    ours["cls_embedding.embedding_table.weight"] = torch.cat(
        [ours.pop("cls_embedding.classes"), ours.pop("cls_embedding.nothing")]
    )
    recorded = golden.under("out.train.grad.")
    assert recorded
    for name, wanted in recorded.items():
        scale = wanted.abs().max().clamp_min(1e-12)
        agree(ours[name] / scale, wanted / scale)


@pytest.mark.parametrize("golden", goldens("llamagen_t2i", having="in.t2i.train_mask_bool"))
@torch.no_grad()
def test_padding_is_seen_by_none_but_itself(golden: Golden) -> None:
    generator, caption = filled(golden, part="t2i"), golden["in.t2i.caption"]
    assert torch.equal(caption.any(-1), golden["in.t2i.emb_mask"].bool())
    tokens = golden["in.tokens"][: len(caption)]
    steps = generator.order.training_steps(len(tokens), generator.layout, Rng(0))
    prefix = generator.condition(caption, torch.zeros(len(caption), dtype=torch.bool))
    order = steps[0].argsort(stable=True)
    _, context = generator.backbone.sequence(generator.head.embed(tokens), steps, prefix, order, 0)
    official, valid = golden["in.t2i.train_mask_bool"][..., :-1, :-1], golden["in.t2i.valid"].bool()
    assert torch.equal(context.mask[valid], official[valid])


def seen(golden: Golden) -> Tensor:
    """Pictures whose mask in training was made from their caption; what failed to load had one without padding."""
    padding = ~golden["in.t2i.emb_mask"].bool()
    masked = ~golden["in.t2i.train_mask_bool"][:, 0, -1, : padding.shape[1]]
    return (padding == masked).all(1)


@pytest.mark.parametrize("golden", goldens("llamagen_t2i", having="out.t2i.logits"))
@torch.no_grad()
def test_logits_and_loss_of_captioned_pictures(golden: Golden) -> None:
    generator, caption = filled(golden, part="t2i"), golden["in.t2i.caption"]
    tokens, drop, rows = golden["in.tokens"][: len(caption)], golden["in.t2i.drop_rand"], seen(golden)
    ours = logits(generator, tokens, caption, drop < sizes(golden).drop)
    agree(ours[rows], golden["out.t2i.logits"][rows])
    valid = golden["in.t2i.valid"].bool()
    assert valid.any()
    assert rows[valid].all()
    replay = Replay(uniform=[drop[valid]])
    agree(generator.loss(tokens[valid], caption[valid], replay), golden["out.t2i.loss"])


# Drawing


def steering(options: dict[str, Any], *, behind: int) -> tuple[SamplingOptions, Schedule]:
    """The official options in our words; ``behind``: how many tokens more are known where the interval is compared."""
    policy = SamplingOptions(
        guidance=options["cfg_scale"],
        temperature=options["temperature"],
        top_k=options["top_k"],
        top_p=options["top_p"],
    )
    interval = options.get("cfg_interval", -1)
    return policy, constant if interval < 0 else early(interval + behind)


DRAWINGS = [
    pytest.param(case.values[0], index, id=f"{case.id}-{index}")
    for case in goldens("llamagen_c2i")
    for index in range(len(case.values[0].config["gen"]))
]


@pytest.mark.parametrize(("golden", "index"), DRAWINGS)
@torch.no_grad()
def test_drawing(golden: Golden, index: int) -> None:
    generator, ids = filled(golden), golden[f"in.gen{index}.ids"]
    generator.head = head = Replaying(generator.head, ids)
    policy, schedule = steering(golden.config["gen"][index], behind=1)
    tokens = Decoder(generator, policy, guidance=schedule)(golden["in.labels"][: len(ids)], Rng(0))
    assert torch.equal(tokens, ids)
    assert torch.equal(tokens.int(), golden[f"out.gen{index}.seq"])
    head.compare(golden[f"out.gen{index}.raw_logits"], golden[f"out.gen{index}.probs"])


@pytest.mark.parametrize("golden", goldens("llamagen_t2i", having="in.t2i.gen.ids"))
@torch.no_grad()
def test_drawing_of_captions(golden: Golden) -> None:
    generator, ids = filled(golden, part="t2i"), golden["in.t2i.gen.ids"]
    generator.head = head = Replaying(generator.head, ids)
    policy, schedule = steering(golden.card["extra"]["t2i_gen_kwargs"], behind=1)
    assert torch.equal(Decoder(generator, policy, guidance=schedule)(golden["in.t2i.caption"][: len(ids)], Rng(0)), ids)
    head.compare(golden["out.t2i.gen.raw_logits"], golden["out.t2i.gen.probs"])


# Tokenizer


def tokenizer(golden: Golden) -> Vqgan:
    config = golden.config["vq"]
    made = official_tokenizer(
        LlamaGenTokenizerSizes(
            multipliers=tuple(config["encoder_ch_mult"]),
            size=(golden["in.image"].shape[-2], golden["in.image"].shape[-1]),
            width=golden.config["ch"],
            hidden=config["z_channels"],
            entries=config["codebook_size"],
            channels=config["codebook_embed_dim"],
        )
    )
    TOKENIZER.fill(made, golden.under("state.vq."))
    return made.eval()


@pytest.mark.parametrize("golden", goldens("llamagen_vq"))
def test_tokenizer(golden: Golden) -> None:
    made, image = tokenizer(golden), golden["in.image"]
    features = made.features(image)
    agree(features, golden["out.vq.h"])
    ids = made.encode(image)
    assert torch.equal(ids.flatten(), golden["out.vq.idx"])
    reconstruction, bottleneck = made(image, Rng(0))
    agree(bottleneck.latents, golden["out.vq.quant"])
    agree(reconstruction, golden["out.vq.rec"])
    agree(bottleneck.metrics["pull"], golden["out.vq.vq_loss"], 1e-6)
    agree(bottleneck.metrics["commitment"], golden["out.vq.commit_loss"], 1e-6)
    agree(bottleneck.penalty, sum(golden[f"out.vq.{part}_loss"] for part in ("vq", "commit", "entropy")), 1e-6)
    distances = made.quantizer.distances(features.movedim(1, -1).flatten(0, 2))
    agree(assignment_entropy(distances), golden["out.vq.entropy_raw"])


@pytest.mark.parametrize("golden", goldens("llamagen_vq"))
@torch.no_grad()
def test_decoding_of_ids(golden: Golden) -> None:
    made = tokenizer(golden)
    ids = golden["out.vq.idx"].reshape(len(golden["in.image"]), -1)
    agree(made.decoder(made.quantizer.latents(ids, *made.layout.grids[-1])), golden["out.vq.decode_code"])
    agree(made.decode(ids), golden["out.vq.decode_code"].clamp(-1, 1))


# Names and sizes


@pytest.mark.parametrize(
    ("size", "millions"),
    [(LLAMAGEN_B, 111), (LLAMAGEN_L, 343), (LLAMAGEN_XL, 775), (LLAMAGEN_XXL, 1411), (LLAMAGEN_3B, 3097)],
)
def test_published_sizes(size: LlamaGenSizes, millions: int) -> None:
    """Millions of parameters: Table 2 of the paper, the larger two counted by the official code."""
    with torch.device("meta"):
        generator = official_generator(size)
    assert sum(p.numel() for p in generator.parameters()) / 1e6 == pytest.approx(millions, rel=2e-3)


@pytest.mark.parametrize("size", [LLAMAGEN_B, LLAMAGEN_XL, LLAMAGEN_XL_CAPTIONS, LLAMAGEN_3B])
def test_sizes_are_read_from_shapes(size: LlamaGenSizes) -> None:
    with torch.device("meta"):
        generator = official_generator(size)
        names = {name: official_name(name, GENERATOR_NAMES) for name in generator.state_dict()}
        state = {names[name]: value for name, value in generator.state_dict().items()}
        again = official_generator(sizes_of(state))
    assert {n: v.shape for n, v in again.state_dict().items()} == {
        n: v.shape for n, v in generator.state_dict().items()
    }
    assert again.count == generator.count
    assert again.backbone.blocks[0].attn.heads == HEADS[size.width]


@pytest.mark.parametrize("sizes", [VQ_16, VQ_8])
def test_published_tokenizers(sizes: LlamaGenTokenizerSizes) -> None:
    with torch.device("meta"):
        made = official_tokenizer(sizes)
    levels = len(sizes.multipliers)
    assert made.layout.grids == ((256 // 2 ** (levels - 1),) * 2,)
    assert [len(level.attentions) for level in made.encoder.levels] == [0] * (levels - 1) + [2]
    assert [len(level.attentions) for level in made.decoder.levels] == [0] * (levels - 1) + [3]


@pytest.mark.parametrize("golden", goldens("llamagen_vq"))
def test_a_tokenizer_is_recognised_and_measured(golden: Golden) -> None:
    state = golden.under("state.vq.")
    release = recognise(state, Path("vq.pt"))
    assert (release.system, release.kind) == ("llamagen", "tokenizer")
    made = release.build(state)
    TOKENIZER.fill(made, state)


@pytest.mark.parametrize(
    ("part", "golden"),
    [
        (p, case)
        for p, name in (("gpt", "llamagen_c2i"), ("t2i", "llamagen_t2i"))
        for case in (c.values[0] for c in goldens(name))
    ],
)
def test_a_generator_is_recognised_and_a_config_beside_it_tells_its_heads(part: str, golden: Golden) -> None:
    state = golden.under(f"state.{part}.")
    release = recognise(state, Path("c2i.pt"))
    assert release is RELEASES[0]
    wanted = sizes(golden, part=part)
    made = release.build(prepared({**state, **described(**golden.config["gpt"])}))
    assert made.backbone.blocks[0].attn.heads == wanted.heads
    del state["output.weight"]
    with pytest.raises(CheckpointError, match=r"lacks output\.weight"):
        llamagen.RELEASES[0].fill(official_generator(sizes(golden, part=part)), state)
