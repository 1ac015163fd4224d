"""MaskGIT over TiTok's tokens against the authors' code: same weights, same draws, same numbers."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.parity.goldens import TESTS, Golden, Replay, agree, described, goldens
from torch import Tensor, nn

from limner.decode.decoder import Decoder
from limner.decode.schedules import Schedule, annealed, annealed_twice, constant, linear, power_cosine
from limner.decode.step import most_confident
from limner.errors import CheckpointError
from limner.generators.generator import Generator
from limner.generators.heads.head import SamplingOptions
from limner.generators.orders import ArccosMasked
from limner.nn.transformer import take
from limner.store.official.maskgit import (
    B64_SAMPLING,
    L32_SAMPLING,
    RELEASES,
    S128_SAMPLING,
    TITOK_B64,
    TITOK_L32,
    TITOK_S128,
    MaskGitSizes,
    Sampling,
    official_decoder,
    official_generator,
)
from limner.store.release import official_name
from limner.store.released import recognise
from limner.types import Layout, Rng

NAMES = ("maskgit_bert", "maskgit_uvit")


def sizes(golden: Golden) -> MaskGitSizes:
    """The official configuration in our words."""
    config, losses = golden.config["model"]["generator"], golden.config["losses"]
    return MaskGitSizes(
        width=config["hidden_size"],
        depth=config["num_hidden_layers"],
        hidden=config["intermediate_size"],
        count=config["image_seq_len"],
        heads=config["num_attention_heads"],
        entries=golden.config["model"]["vq_model"]["codebook_size"],
        classes=config["condition_num_classes"],
        long_skips="pos_embed" in golden.state(),
        drop=config["class_label_dropout"],
        dropout=config["dropout"],
        smoothing=losses["label_smoothing"],
        known_weight=losses["loss_weight_unmasked_token"],
    )


def filled(golden: Golden) -> Generator:
    generator = official_generator(sizes(golden)).eval()
    recognise(golden.state(), golden.path).fill(generator, golden.state())
    return generator


def logits(generator: Generator, ids: Tensor, steps: Tensor, labels: Tensor, dropped: Tensor) -> Tensor:
    """Logits of all tokens, those of the last step masked."""
    everything = torch.arange(ids.shape[1]).expand(len(ids), -1)
    contexts = generator.contexts(ids, steps, generator.condition(labels, dropped), everything)
    return generator.head.logits(contexts)


# Training


def training_draws(golden: Golden) -> Replay:
    return Replay(
        uniform=[golden["in.train.mask_t"], golden["in.train.drop_rand"]],
        permutations=[golden["in.train.mask_rand"].argsort(1)],
    )


def test_no_golden_is_missing() -> None:
    assert {case.id.rpartition("-")[0] for case in goldens(*NAMES)} == set(NAMES)


@pytest.mark.parametrize("golden", goldens(*NAMES, having="out.train.mask"))
def test_mask(golden: Golden) -> None:
    ids, mask = golden["in.ids"], golden["out.train.mask"].bool()
    steps = ArccosMasked().training_steps(len(ids), Layout(((ids.shape[1],),)), training_draws(golden))
    assert torch.equal(steps == 1, mask)
    assert torch.equal(ids.masked_fill(steps == 1, sizes(golden).entries), golden["out.train.masked"].long())


@pytest.mark.parametrize("golden", goldens(*NAMES, having="out.train.logits"))
@torch.no_grad()
def test_logits(golden: Golden) -> None:
    dropped = golden["in.train.drop_rand"] < sizes(golden).drop
    steps = golden["out.train.mask"].long()
    agree(logits(filled(golden), golden["in.ids"], steps, golden["in.labels"], dropped), golden["out.train.logits"])


@pytest.mark.parametrize("golden", goldens(*NAMES, having="out.train.loss"))
def test_loss(golden: Golden) -> None:
    generator, replay = filled(golden), training_draws(golden)
    loss = generator.loss(golden["in.ids"], golden["in.labels"], replay)
    replay.finish()
    agree(loss, golden["out.train.loss"])
    loss.backward()
    assert all(parameter.grad is not None for parameter in generator.parameters())


# Drawing

GUIDANCE: dict[str, tuple[Schedule, float]] = {"constant": (constant, 1.0), "linear": (linear, 1.0)}


def decoder(generator: Generator, run: dict[str, Any]) -> Decoder:
    """The official arguments in our words; two of the three kinds of guidance count from 0 there."""
    powered = power_cosine(run.get("guidance_scale_pow", 3.0))
    schedule, none = GUIDANCE.get(run["guidance_decay"], (powered, 0.0))
    return Decoder(
        generator,
        SamplingOptions(guidance=run["guidance_scale"] + none, temperature=run["randomize_temperature"]),
        run["num_sample_steps"],
        guidance=schedule,
        temperature=annealed_twice if run.get("softmax_temperature_annealing") else annealed,
        step=most_confident,
    )


class Witness(nn.Module):
    """A head that notes the logits it gives, with condition and without, and the guidance."""

    def __init__(self, head: nn.Module) -> None:
        super().__init__()
        self.head, self.embed = head, head.embed
        self.blank, self.loss, self.sample, self.distribution = head.blank, head.loss, head.sample, head.distribution
        self.seen: list[dict[str, Any]] = []

    def guided_logits(self, contexts: Tensor, guided: bool, options: SamplingOptions) -> Tensor:
        halves = self.head.logits(contexts).chunk(2) if guided else (self.head.logits(contexts), None)
        self.seen.append({"cond": halves[0], "uncond": halves[1], "guidance": options.guidance})
        return self.head.guided_logits(contexts, guided, options)


def unknown(golden: Golden, name: str, step: int) -> Tensor:
    """Positions of the tokens that are masked when a recorded step begins."""
    masked = golden[f"out.{name}.step{step}.ids"] == sizes(golden).entries
    return masked.nonzero()[:, 1].reshape(len(masked), -1)


def noise(golden: Golden, name: str, count: int) -> list[Tensor]:
    """The recorded noise, of which ours wants that of unknown tokens only."""
    return [
        take(golden[f"in.{name}.step{step}.{kind}"], unknown(golden, name, step))
        for step in range(count)
        for kind in ("u_token", "u_conf")
    ]


RUNS = [
    pytest.param(case.values[0], name, id=f"{case.id}-{name}")
    for case in goldens(*NAMES)
    for name in case.values[0].card["extra"]["runs"]
]


@pytest.mark.parametrize(("golden", "name"), RUNS)
@torch.no_grad()
def test_drawing(golden: Golden, name: str) -> None:
    run = golden.card["extra"]["runs"][name]
    total, count, entries = run["num_sample_steps"], sizes(golden).count, sizes(golden).entries
    generator = filled(golden)
    generator.head = witness = Witness(generator.head)
    labels = golden["in.labels"][: len(golden[f"out.{name}.ids"])]
    seen: list[tuple[Tensor, Tensor]] = []
    draw = decoder(generator, run)
    anyhow = torch.arange(count).repeat(len(labels), 1)  # the plan says how many; which, the ranking decides
    replay = Replay(uniform=noise(golden, name, total), permutations=[anyhow])
    final = draw(labels, replay, watch=lambda step, _, tokens, steps: seen.append((tokens, steps)))
    replay.finish()

    assert torch.equal(final, golden[f"out.{name}.ids"].long())
    for step, (tokens, steps) in enumerate(seen[:-1], 1):
        known = tokens.masked_fill(steps > step, entries)
        assert torch.equal(known, golden[f"out.{name}.step{step}.ids"].long()), f"after step {step}"
    call = 0
    powered = run["guidance_decay"] == "power-cosine"  # officially computes the unconditional pass in every step
    for step, told in enumerate(witness.seen):
        places = unknown(golden, name, step)
        agree(told["cond"], take(golden[f"out.{name}.step{step}.cond"], places))
        assert (told["uncond"] is None) == (told["guidance"] == 1.0)
        if told["uncond"] is not None:
            agree(told["uncond"], take(golden[f"out.{name}.uncond{call}"], places))
        call += powered or told["uncond"] is not None
    assert call == golden.card["extra"][f"{name}_uncond_calls"]


@pytest.mark.parametrize(("golden", "name"), RUNS)
@torch.no_grad()
def test_unconditional_logits(golden: Golden, name: str) -> None:
    """All tokens' logits of every recorded pass without condition: in the last steps in which there was one."""
    run, calls = golden.card["extra"]["runs"][name], golden.card["extra"][f"{name}_uncond_calls"]
    generator, first = filled(golden), run["num_sample_steps"] - calls
    for call in range(calls):
        ids = golden[f"out.{name}.step{first + call}.ids"].long()
        masked = ids == sizes(golden).entries
        nothing = torch.ones(len(ids), dtype=torch.bool)
        found = logits(generator, ids.masked_fill(masked, 0), masked.long(), golden["in.labels"][: len(ids)], nothing)
        agree(found, golden[f"out.{name}.uncond{call}"])


# Names and sizes


@pytest.mark.parametrize(
    ("size", "width", "depth"), [(TITOK_L32, 768, 24), (TITOK_B64, 768, 24), (TITOK_S128, 1024, 20)]
)
def test_published_sizes(size: MaskGitSizes, width: int, depth: int) -> None:
    """Parameters of each block times blocks, and the tables."""
    with torch.device("meta"):
        generator = official_generator(size)
    blocks = depth * (12 * width**2)
    found = sum(p.numel() for p in generator.backbone.parameters())
    skips = (depth // 2 * 2 + 12) * width**2 if size.long_skips else 0
    assert found == pytest.approx(blocks + skips, rel=3e-3)
    assert generator.head.output.weight.shape == (4096, width)


@pytest.mark.parametrize(
    ("size", "sampling"), [(TITOK_L32, L32_SAMPLING), (TITOK_B64, B64_SAMPLING), (TITOK_S128, S128_SAMPLING)]
)
def test_published_ways_to_draw(size: MaskGitSizes, sampling: Sampling) -> None:
    tiny = MaskGitSizes(width=16, depth=2, hidden=16, heads=2, count=size.count, entries=9, classes=3)
    draw = official_decoder(official_generator(tiny).eval(), sampling)
    steps: list[int] = []
    draw(torch.tensor([0, 2]), Rng([1, 2]), watch=lambda step, total, tokens, known: steps.append(total))
    assert steps == [sampling.steps] * sampling.steps


@pytest.mark.parametrize("golden", goldens(*NAMES))
def test_releases_tell_which_and_how_large(golden: Golden) -> None:
    state = {key: value.clone() for key, value in golden.state().items()}
    fitting = [release for release in RELEASES if release.fits(state)]
    assert len(fitting) == 1
    made = fitting[0].build(fitting[0].prepare({**state, **described(**golden.config)}))
    wanted = official_generator(sizes(golden))
    assert {name: value.shape for name, value in made.state_dict().items()} == {
        name: value.shape for name, value in wanted.state_dict().items()
    }
    heads = [{part.heads for part in one.modules() if hasattr(part, "heads")} for one in (made, wanted)]
    assert heads[0] == heads[1]
    assert heads[0]


@pytest.mark.parametrize("size", [TITOK_L32, TITOK_S128])
def test_sizes_are_read_from_shapes(size: MaskGitSizes) -> None:
    """The published shapes under the official names, without numbers."""
    small = {"width": size.width, "hidden": 48, "count": 5, "entries": 7, "classes": 3, "depth": 2}
    wanted = MaskGitSizes(**small, long_skips=size.long_skips)
    with torch.device("meta"):
        generator = official_generator(wanted)
        release = RELEASES[int(size.long_skips)]
        state = {official_name(name, release.names): value for name, value in generator.state_dict().items()}
        assert release.build(state).state_dict().keys() == generator.state_dict().keys()
        for name, value in release.build(state).state_dict().items():
            assert value.shape == generator.state_dict()[name].shape


def test_a_state_that_does_not_fit_is_named() -> None:
    for name, gone, lacks in (
        ("maskgit_bert", "model.encoder.layer.1.attention.self.key.bias", "lacks .*layer.1.attention.self.qkv.bias"),
        ("maskgit_uvit", "pos_embed", "lacks pos_embed"),
        ("maskgit_bert", "model.embeddings.position_embeddings.weight", "lacks model.embeddings.position_embeddings"),
    ):
        golden = Golden(TESTS / "golden" / f"{name}-a.json")
        state = golden.state()
        del state[gone]
        with pytest.raises(CheckpointError, match=lacks):
            recognise(golden.state(), golden.path).fill(official_generator(sizes(golden)), state)
