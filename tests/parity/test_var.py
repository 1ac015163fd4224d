"""VAR against the authors' code: same weights, same draws, same numbers."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
import torch
from tests.parity.goldens import TESTS, Golden, Replay, agree, described, directory, goldens
from torch import Tensor

from limner.decode.decoder import Decoder
from limner.decode.schedules import with_steps
from limner.decode.smooth import smoothed
from limner.errors import CheckpointError, InputError
from limner.generators.generator import Generator
from limner.generators.heads.categorical import SoftmaxHead, cut
from limner.generators.heads.head import Contexts, SamplingOptions
from limner.store.official.var import (
    GENERATOR_NAMES,
    GENERATOR_SKIP,
    RELEASES,
    SIDES_256,
    SIDES_512,
    VAR_D16,
    VAR_D20,
    VAR_D24,
    VAR_D30,
    VAR_D36,
    VarSizes,
    VarTokenizerSizes,
    generator_sizes,
    official_decoder,
    official_generator,
    official_tokenizer,
    prepared_generator,
    prepared_tokenizer,
    tokenizer_sizes,
)
from limner.store.release import fill, official_name
from limner.tokenizers.quantizers.multiscale import phis_of_scales
from limner.tokenizers.scales import ScaleAutoencoder
from limner.types import Rng

TOKENIZER, GENERATOR = RELEASES


def tokenizer_of(golden: Golden) -> ScaleAutoencoder:
    """The official VQVAE of the golden in our words."""
    config = golden.config
    shared = config["share_quant_resi"]
    tokenizer = official_tokenizer(
        VarTokenizerSizes(
            sides=tuple(config["patch_nums"]),
            entries=config["V"],
            channels=config["Cvae"],
            phis=shared or len(config["patch_nums"]),
            width=config["ch"],
            multipliers=tuple(config["ch_mult"]),
        )
    ).eval()
    TOKENIZER.fill(tokenizer, golden.under("state.vae."))
    return tokenizer


def sizes(golden: Golden) -> VarSizes:
    config = golden.config
    return VarSizes(
        width=config["width"],
        depth=config["depth"],
        heads=config["heads"],
        shared=config["shared_aln"],
        sides=tuple(config["patch_nums"]),
        entries=config["V"],
        channels=config["Cvae"],
        classes=config["num_classes"],
        drop=drop(golden),
    )


def drop(golden: Golden) -> float:
    """Share of withheld classes, which only the card's words tell."""
    found = re.search(r"cond_drop_rate=([\d.]+)", golden.card["tensors"]["in.train.drop_rand"]["meaning"])
    assert found
    return float(found[1])


def filled(golden: Golden, tokenizer: ScaleAutoencoder | None = None) -> Generator:
    generator = official_generator(sizes(golden), (tokenizer or tokenizer_of(golden)).quantizer).eval()
    GENERATOR.fill(generator, golden.under("state.var."))
    return generator


def ids(golden: Golden, prefix: str) -> Tensor:
    """The ids of all scales."""
    recorded = [golden[prefix.format(scale)] for scale in range(len(golden.config["patch_nums"]))]
    return torch.cat(recorded, dim=1)


@pytest.mark.skipif(directory() == TESTS / "golden", reason="too large for the repository")
def test_no_golden_is_missing() -> None:
    assert goldens("var", having="out.smooth.image")


# Tokenizer


@pytest.mark.parametrize("golden", goldens("var", having="out.vae.f"))
@torch.no_grad()
def test_encoding(golden: Golden) -> None:
    tokenizer = tokenizer_of(golden)
    agree(tokenizer.features(golden["in.image"]), golden["out.vae.f"])
    tokens = tokenizer.encode(golden["in.image"])
    assert torch.equal(tokens, ids(golden, "out.vae.idx{}"))
    assert tokens.shape[1] == tokenizer.layout.length


@pytest.mark.parametrize("golden", goldens("var", having="out.vae.rec"))
@torch.no_grad()
def test_decoding(golden: Golden) -> None:
    tokenizer, tokens = tokenizer_of(golden), ids(golden, "out.vae.idx{}")
    for scale, total in enumerate(tokenizer.quantizer.sums(tokens)):
        agree(total, golden[f"out.vae.fhat{scale}"])
    agree(tokenizer.decode(tokens), golden["out.vae.rec"])
    agree(tokenizer.decode(tokens), golden["out.vae.rec_from_idx"])
    agree(tokenizer.decode(tokenizer.quantizer.rows(tokens)), golden["out.vae.rec_from_idx"])


@pytest.mark.parametrize("golden", goldens("var", having="out.var_input"))
@torch.no_grad()
def test_what_slots_are_told(golden: Golden) -> None:
    told = tokenizer_of(golden).quantizer.scale_inputs(ids(golden, "out.vae.idx{}"))
    first = golden.config["patch_nums"][0] ** 2
    agree(told[:, first:], golden["out.var_input"])
    assert not told[:, :first].any()


@pytest.mark.parametrize("golden", goldens("var", having="out.vae.vq_loss"))
@torch.no_grad()
def test_training_of_the_tokenizer(golden: Golden) -> None:
    reconstruction, bottleneck = tokenizer_of(golden)(golden["in.image"], Rng(0))
    agree(reconstruction, golden["out.vae.train_rec"])
    agree(bottleneck.penalty, golden["out.vae.vq_loss"])


# Transformer and loss


@pytest.mark.parametrize("mode", ["train", "eval"])
@pytest.mark.parametrize("golden", goldens("var", having="out.train.logits"))
@torch.no_grad()
def test_logits(golden: Golden, mode: str) -> None:
    generator, tokens = filled(golden), ids(golden, "out.vae.idx{}")
    steps = generator.order.training_steps(len(tokens), generator.layout, Rng(0))
    prefix = generator.condition(golden["in.labels"], golden[f"in.{mode}.drop_rand"] < drop(golden))
    everything = torch.arange(generator.count).expand_as(tokens)
    contexts = generator.contexts(tokens, steps, prefix, everything)
    agree(generator.head.logits(contexts), golden[f"out.{mode}.logits"])


@pytest.mark.parametrize("golden", goldens("var", having="out.train.loss"))
def test_loss_and_gradients(golden: Golden) -> None:
    generator = filled(golden).train()
    replay = Replay(uniform=[golden["in.train.drop_rand"]])
    loss = generator.loss(ids(golden, "out.vae.idx{}"), golden["in.labels"], replay)
    replay.finish()
    agree(loss, golden["out.train.loss"])
    loss.backward()
    ours = {official_name(name, GENERATOR_NAMES): parameter.grad for name, parameter in generator.named_parameters()}
    ours["class_emb.weight"] = torch.cat([ours.pop("class_emb.classes"), ours.pop("class_emb.nothing")])
    recorded = golden.under("out.train.grad.")
    assert recorded
    for name, wanted in recorded.items():
        gradient = ours[name]
        assert gradient is not None, name
        scale = wanted.abs().max().clamp_min(1e-12)  # gradients are small: compare shares of the largest
        agree(gradient / scale, wanted / scale)


# Drawing


class Witness(SoftmaxHead):
    """A head that notes its guided logits, and what is left of them after the cut."""

    def __init__(self, head: SoftmaxHead) -> None:
        super().__init__()
        self.head, self.embed = head, head.embed
        self.raw: list[Tensor] = []

    def logits(self, contexts: Contexts) -> Tensor:
        self.raw.append(self.head.logits(contexts))
        return self.raw[-1]


def guided(raw: Tensor, strength: float, step: int, steps: int) -> Tensor:
    """The official formula of one step, of logits with condition, then without."""
    conditional, unconditional = raw.chunk(2)
    t = strength * step / (steps - 1)
    return (1 + t) * conditional - t * unconditional


def drawing(probabilities: Tensor, tokens: Tensor) -> Tensor:
    """Uniform draws that take these tokens: the middle of the part of [0, 1) that each has, the likeliest first."""
    ordered, order = probabilities.double().sort(stable=True, dim=-1, descending=True)
    edges = ordered.cumsum(-1)
    place = (order == tokens[..., None]).long().argmax(-1, keepdim=True)
    middle = edges.gather(-1, place) - ordered.gather(-1, place) / 2
    return (middle / edges[..., -1:])[..., 0].float()


def options(golden: Golden) -> SamplingOptions:
    config = golden.config
    return SamplingOptions(guidance=1 + config["cfg"], top_k=config["top_k"], top_p=config["top_p"])


def draws(golden: Golden, mode: str) -> Replay:
    """The recorded draws: of ids, or in the smooth mode the exponentials, whose ids nothing reads."""
    uniform = []
    for scale in range(len(golden.config["patch_nums"])):
        recorded = f"step{scale}."
        if mode == "smooth":
            uniform.append((-golden[f"in.{mode}.{recorded}exp"].double()).exp())
        else:
            tokens = golden[f"in.{mode}.{recorded}idx"]
            probabilities = golden[f"out.{mode}.{recorded}probs"].unflatten(0, tokens.shape)
            uniform.append(drawing(probabilities, tokens))
    return Replay(uniform=uniform)


def tolerances(mode: str, steps: int) -> list[float]:
    """Of every step: mixtures divide logits, and what rounding left there, by tau = 0.27 (1 - 0.95 r)."""
    return [1e-4 / (1 - 0.95 * step / max(steps - 1, 1) if mode == "smooth" else 1) for step in range(steps)]


DRAWINGS = [
    pytest.param(case.values[0], mode, id=f"{case.id}-{mode}")
    for mode in ("sample", "smooth")
    for case in goldens("var", having=f"out.{mode}.image")
]


@pytest.mark.parametrize("cached", [True, False])
@pytest.mark.parametrize(("golden", "mode"), DRAWINGS)
@torch.no_grad()
def test_drawing(golden: Golden, mode: str, cached: bool) -> None:
    tokenizer = tokenizer_of(golden)
    generator, quantizer, steps = filled(golden, tokenizer), tokenizer.quantizer, len(golden.config["patch_nums"])
    generator.head = witness = Witness(generator.head)
    replay, seen = draws(golden, mode), []
    decoder = Decoder(generator, options(golden), guidance=with_steps, cached=cached)
    if mode == "smooth":
        decoder = smoothed(decoder, quantizer.codebook)
    labels = golden["in.labels"]
    tokens = decoder(labels, replay, watch=lambda step, total, tokens, steps: seen.append(tokens.clone()))
    replay.finish()
    assert len(seen) == len(witness.raw) == steps
    bounds = tolerances(mode, steps)
    for scale, (raw, known) in enumerate(zip(witness.raw, seen, strict=True)):
        bound = bounds[scale]
        official = golden.under(f"out.{mode}.step{scale}.")
        both = len(raw) == 2 * len(labels)  # without a cache, steps without guidance compute no second half
        logits = guided(raw, golden.config["cfg"], scale, steps) if both else raw
        agree(logits, official["logits"])
        agree(cut(logits, options(golden)).softmax(-1).flatten(0, 1), official["probs"])
        sums = list(quantizer.sums(known))
        agree(sums[scale], official["fhat"])
        if scale + 1 < steps:
            told = quantizer.scale_inputs(known, scale + 2)[:, -(golden.config["patch_nums"][scale + 1] ** 2) :]
            agree(told.mT.unflatten(2, official["next"].shape[2:]), official["next"], bound)
    if mode == "sample":
        assert torch.equal(tokens, ids(golden, "in.sample.step{}.idx"))
    agree((tokenizer.decode(tokens) + 1) / 2, golden[f"out.{mode}.image"], bounds[-1])


# Names and sizes


@pytest.mark.parametrize(
    ("size", "millions"), [(VAR_D16, 310), (VAR_D20, 600), (VAR_D24, 1035), (VAR_D30, 2010), (VAR_D36, 2350)]
)
def test_published_sizes(size: VarSizes, millions: int) -> None:
    with torch.device("meta"):
        generator = official_generator(size)
    assert sum(p.numel() for p in generator.parameters()) / 1e6 == pytest.approx(millions, rel=0.01)


def test_published_tokenizers() -> None:
    with torch.device("meta"):
        tokenizers = [official_tokenizer(VarTokenizerSizes(sides=sides)) for sides in (SIDES_256, SIDES_512)]
    assert [tokenizer.size for tokenizer in tokenizers] == [256, 512]
    assert [tokenizer.layout.length for tokenizer in tokenizers] == [680, 2240]
    assert sum(p.numel() for p in tokenizers[0].parameters()) == sum(p.numel() for p in tokenizers[1].parameters())


def test_phis_of_published_scales() -> None:
    """The third of ten scales lies as near to the first place as to the second: the official code takes the second."""
    assert phis_of_scales(10, 4) == [0, 0, 1, 1, 1, 2, 2, 3, 3, 3]
    assert phis_of_scales(4, 4) == [0, 1, 2, 3]
    assert phis_of_scales(10, 10) == list(range(10))
    assert phis_of_scales(3, 1) == [0, 0, 0]
    assert phis_of_scales(1, 1) == [0]


@pytest.mark.parametrize("golden", goldens("var", having="out.train.loss"))
def test_releases_tell_which_and_how_large(golden: Golden) -> None:
    states = [golden.under(prefix) for prefix in ("state.vae.", "state.var.")]
    for release, state in zip(RELEASES, states, strict=True):
        assert [other.fits(state) for other in RELEASES] == [other is release for other in RELEASES]
    tokenizer, generator = RELEASES
    assert generator_sizes(prepared_generator(states[1])) == replace(sizes(golden), drop=0.1)
    model = generator.build(prepared_generator(states[1]))
    report = fill(model, prepared_generator(states[1]), generator.names, skip=GENERATOR_SKIP)
    assert len(report.loaded) == len(model.state_dict())
    with pytest.raises(InputError, match="has no tokenizer yet"):
        model.embed(ids(golden, "out.vae.idx{}"))
    model.embed.attach(tokenizer_of(golden).quantizer)
    assert model.embed(ids(golden, "out.vae.idx{}")).shape[-1] == golden.config["width"]
    prepared = prepared_tokenizer(states[0])
    if len(golden.config["patch_nums"]) != len(SIDES_256):
        with pytest.raises(CheckpointError, match="scales was never published"):
            tokenizer.build(prepared)
    assert list(tokenizer_sizes({**prepared, **described(**golden.config)}).sides) == golden.config["patch_nums"]
    prepared["quantize.ema_vocab_hit_SV"] = torch.zeros(len(SIDES_256), golden.config["V"])
    found = tokenizer_sizes(prepared)
    assert found.sides == SIDES_256
    assert (found.width, list(found.multipliers)) == (golden.config["ch"], golden.config["ch_mult"])


def test_how_the_authors_draw() -> None:
    with torch.device("meta"):
        decoder = official_decoder(official_generator(VAR_D16))
    assert decoder.options == SamplingOptions(guidance=2.5, top_k=900, top_p=0.96)
    assert decoder.guidance is with_steps


def test_what_shared_and_single_phis_are_called() -> None:
    for names, wanted in ((["qresi.weight"], [0]), (["0.weight", "1.weight"], [0, 1]), (["qresi_ls.2.weight"], [2])):
        state = {f"quantize.quant_resi.{name}": torch.zeros(1) for name in names}
        assert list(prepared_tokenizer(state)) == [f"quantize.quant_resi.qresi_ls.{k}.weight" for k in wanted]


def test_a_state_that_does_not_fit_is_named() -> None:
    generator = official_generator(VarSizes(width=8, depth=1, heads=2, sides=(1, 2), entries=4, channels=2, classes=3))
    state = {official_name(name, GENERATOR_NAMES): value for name, value in generator.state_dict().items()}
    state["class_emb.weight"] = torch.cat([state.pop("class_emb.classes"), state.pop("class_emb.nothing")])
    GENERATOR.fill(generator, state)
    state["pos_startt"] = state.pop("pos_start")
    with pytest.raises(CheckpointError, match=r"lacks pos_start; .*unknown pos_startt"):
        GENERATOR.fill(generator, state)
    del state["class_emb.weight"]
    with pytest.raises(CheckpointError, match=r"lacks class_emb\.weight"):
        GENERATOR.fill(generator, state)
