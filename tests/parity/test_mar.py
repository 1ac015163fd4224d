"""MAR against the authors' code: same weights, same draws, same numbers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from tests.parity.goldens import TESTS, Golden, Replay, agree, difference, goldens
from torch import Tensor, nn

from limner.decode.decoder import Decoder
from limner.decode.schedules import constant, with_known
from limner.errors import CheckpointError
from limner.generators.generator import Generator
from limner.generators.heads.head import SamplingOptions
from limner.generators.orders import cosine_unmasking, steps_of_ranks
from limner.nn.transformer import take
from limner.processes.diffusion import Schedule, cosine_schedule, evenly_spaced, respaced
from limner.store.official.mar import (
    GENERATOR_NAMES,
    LATENT_SCALE,
    MAR_BASE,
    MAR_HUGE,
    MAR_LARGE,
    RELEASES,
    MarSizes,
    official_generator,
    official_tokenizer,
)
from limner.store.release import official_name
from limner.tokenizers.folding import fold, unfold
from limner.tokenizers.kl import KlAutoencoder
from limner.types import Rng

GENERATOR, TOKENIZER = RELEASES
MAR = ("mar", "mar_respaced")


def kept_steps(notation: str | int, total: int = 1000) -> int | tuple[int, ...]:
    """The official notation of noise levels: ``"100"``, ``"10,10,5"`` per equal section, ``"ddim50"`` by a stride."""
    text = str(notation)
    if text.startswith("ddim"):
        strides = (range(0, total, stride) for stride in range(1, total))
        return tuple(next(kept for kept in strides if len(kept) == int(text.removeprefix("ddim"))))
    counts = [int(part) for part in text.split(",")]
    if len(counts) == 1:
        return counts[0]
    kept, start = [], 0
    for index, count in enumerate(counts):
        size = total // len(counts) + (index < total % len(counts))
        kept += [start + place for place in (evenly_spaced(size, count) if count else [])]
        start += size
    return tuple(kept)


def sizes(golden: Golden) -> MarSizes:
    """The official constructor's arguments in our words."""
    config = golden.config["mar"]
    side = config["img_size"] // config["vae_stride"] // config["patch_size"]
    return MarSizes(
        width=config["encoder_embed_dim"],
        encoder_depth=config["encoder_depth"],
        decoder_depth=config["decoder_depth"],
        heads=config["encoder_num_heads"],
        decoder_width=config["decoder_embed_dim"],
        decoder_heads=config["decoder_num_heads"],
        head_width=config["diffloss_w"],
        head_depth=config["diffloss_d"],
        count=side**2,
        channels=config["vae_embed_dim"] * config["patch_size"] ** 2,
        classes=config["class_num"],
        prefix=config["buffer_size"],
        steps=kept_steps(config["num_sampling_steps"]),
        draws=config["diffusion_batch_mul"],
        drop=config["label_drop_prob"],
        dropout=config.get("proj_dropout", 0.0),
        least_masked=config.get("mask_ratio_min", 0.7),
    )


def official_state(golden: Golden, part: str) -> dict[str, Tensor]:
    """The state dict of the transformer ("mar") or of its autoencoder ("vae")."""
    state = golden.state()
    own = {key: value for key, value in state.items() if not key.startswith("vae.")}
    return own if part == "mar" else golden.under("state.vae.")


def filled(golden: Golden) -> Generator:
    generator = official_generator(sizes(golden)).eval()
    GENERATOR.fill(generator, official_state(golden, "mar"))
    return generator


def folded(golden: Golden) -> Tensor:
    """The golden's latents ``[B, C, H, W]`` as our tokens."""
    latents = golden["in.latents"]
    return fold(latents.flatten(2).mT.contiguous(), latents.shape[-2:], golden.config["mar"]["patch_size"])


def unfolded(golden: Golden, tokens: Tensor) -> Tensor:
    """Our tokens as the official latents."""
    patch = golden.config["mar"]["patch_size"]
    grid = math.isqrt(tokens.shape[1]) * patch
    return unfold(tokens, (grid, grid), patch).mT.unflatten(2, (grid, grid))


# Schedules


def test_no_golden_is_missing() -> None:
    assert DRAWINGS


@pytest.mark.parametrize("golden", goldens(*MAR, having="out.sched.train_betas"))
def test_training_schedule(golden: Golden) -> None:
    agree(torch.from_numpy(cosine_schedule().betas), golden["out.sched.train_betas"], 1e-12)


def tables(schedule: Schedule) -> dict[str, np.ndarray]:
    of_original, of_noisy = schedule.posterior_weights
    return {
        "betas": schedule.betas,
        "alphas_cumprod": schedule.signal,
        "sqrt_recip_alphas_cumprod": np.sqrt(1.0 / schedule.signal),
        "sqrt_recipm1_alphas_cumprod": np.sqrt(1.0 / schedule.signal - 1.0),
        "posterior_mean_coef1": of_original,
        "posterior_mean_coef2": of_noisy,
        "posterior_log_variance_clipped": schedule.posterior_log_variance,
        "timestep_map": schedule.timesteps,
    }


@pytest.mark.parametrize("golden", goldens(*MAR, having="out.sched.gen_timestep_map"))
def test_drawing_schedule(golden: Golden) -> None:
    ours = tables(respaced(cosine_schedule(), sizes(golden).steps))
    recorded = golden.under("out.sched.gen_")
    assert recorded
    for name, wanted in recorded.items():
        agree(torch.from_numpy(ours[name]), wanted, 1e-12)


@pytest.mark.parametrize("golden", goldens(*MAR, having="out.sched.map100"))
def test_default_timesteps(golden: Golden) -> None:
    assert respaced(cosine_schedule(), 100).timesteps.tolist() == golden["out.sched.map100"].tolist()


# Network


@pytest.mark.parametrize("golden", goldens(*MAR, having="out.net"))
@torch.no_grad()
def test_denoising_network(golden: Golden) -> None:
    network = filled(golden).head.network
    agree(network(golden["in.net.x"], golden["in.net.t"], golden["in.net.c"]), golden["out.net"])


@pytest.mark.parametrize("golden", goldens(*MAR, having="out.patchify"))
def test_folding(golden: Golden) -> None:
    tokens = folded(golden)
    assert torch.equal(tokens, golden["out.patchify"])
    assert torch.equal(unfolded(golden, tokens), golden["in.latents"])


def contexts(golden: Golden, generator: Generator, dropped: Tensor) -> tuple[Tensor, Tensor]:
    """Encoder output, and the contexts of all tokens, under the golden's mask."""
    backbone = generator.backbone
    known = backbone.known(golden["in.train.mask"].long())
    prefix = generator.condition(golden["in.labels"], dropped)
    encoded = backbone.encode(generator.head.embed(folded(golden)), known, prefix.prefix)
    return encoded, backbone.decode(encoded, known)


def dropped(golden: Golden) -> Tensor:
    return golden["in.train.label_drop_rand"] < golden.config["mar"]["label_drop_prob"]


@pytest.mark.parametrize("mode", ["train", "eval"])
@pytest.mark.parametrize("golden", goldens(*MAR, having="out.train.z"))
@torch.no_grad()
def test_transformer(golden: Golden, mode: str) -> None:
    without = dropped(golden) if mode == "train" else torch.zeros_like(dropped(golden))
    encoded, decoded = contexts(golden, filled(golden), without)
    agree(encoded, golden[f"out.{mode}.encoder"])
    agree(decoded, golden[f"out.{mode}.z"])


# Loss


@pytest.mark.parametrize("golden", goldens(*MAR, having="out.train.loss_rows"))
@torch.no_grad()
def test_loss_of_each_row(golden: Golden) -> None:
    generator = filled(golden)
    _, decoded = contexts(golden, generator, dropped(golden))
    replay = Replay(uniform=[between(golden["in.train.t"], 1000)], normal=[golden["in.train.noise"]])
    error, bound = generator.head.losses(decoded, folded(golden), replay)
    replay.finish()
    agree(error.flatten(), golden["out.train.mse"])
    agree(bound.flatten(), golden["out.train.vb"])
    agree((error + bound).flatten(), golden["out.train.loss_rows"])


def between(numbers: Tensor, count: int) -> Tensor:
    """Uniform draws that fall on these of ``count`` equal parts of [0, 1)."""
    return (numbers + 0.5) / count


def training_draws(golden: Golden, generator: Generator) -> Replay:
    """The official training step's draws in the order in which ours wants them."""
    mask, orders = golden["in.train.mask"].bool(), golden["in.train.orders"]
    masked, count = int(mask[0].sum()), mask.shape[1]
    least = sizes(golden).least_masked
    share = (max(least * count, masked - 1) + masked) / 2 / count  # rounds up to this many masked tokens
    cdf = [0.5 * (1 + math.erf((edge - 1.0) / (0.25 * math.sqrt(2)))) for edge in (least, share, 1.0)]
    level = torch.tensor([(cdf[1] - cdf[0]) / (cdf[2] - cdf[0])])
    shape = (generator.head.draws, *mask.shape)
    wanted = mask.nonzero()[:, 1].reshape(len(mask), masked)
    timesteps = torch.stack([take(part, wanted) for part in between(golden["in.train.t"], 1000).reshape(shape)])
    noise = torch.stack([take(part, wanted) for part in golden["in.train.noise"].reshape(*shape, -1)])
    return Replay(
        uniform=[level, golden["in.train.label_drop_rand"], timesteps], permutations=[orders.argsort(1)], normal=[noise]
    )


@pytest.mark.parametrize("golden", goldens(*MAR, having="out.train.loss"))
def test_loss_and_gradients(golden: Golden) -> None:
    generator = filled(golden)
    replay = training_draws(golden, generator)
    loss = generator.loss(folded(golden), golden["in.labels"], replay)
    replay.finish()
    agree(loss, golden["out.train.loss"])
    loss.backward()
    ours = {official_name(name, GENERATOR_NAMES): parameter.grad for name, parameter in generator.named_parameters()}
    recorded = golden.under("out.train.grad.")
    assert recorded
    for name, wanted in recorded.items():
        gradient = ours[name]
        assert gradient is not None, name
        scale = wanted.abs().max().clamp_min(1e-12)  # gradients are small: compare shares of the largest
        agree(gradient / scale, wanted / scale)


# Drawing


class Witness(nn.Module):
    """A head that notes what it is asked and what it answers."""

    def __init__(self, head: nn.Module) -> None:
        super().__init__()
        self.head, self.embed, self.blank = head, head.embed, head.blank
        self.seen: list[dict[str, Any]] = []

    def sample(self, contexts: Tensor, guided: bool, options: SamplingOptions, rng: Rng) -> Tensor:
        drawn = self.head.sample(contexts, guided, options, rng)
        self.seen.append({"z": contexts.flatten(0, 1), "cfg": options.guidance, "tokens": drawn.flatten(0, 1)})
        return drawn


def recorded_noise(golden: Golden, mode: str, step: int) -> list[Tensor]:
    """The start of one step's reverse diffusion, then its noise; of two halves ours draws the guided one alone."""
    start = golden[f"in.{mode}.step{step}.init_noise"]
    return [start, *golden[f"in.{mode}.step{step}.noise"][:, : len(start)]]


def temperature(golden: Golden, mode: str, generator: Generator) -> float:
    """That of the card; where nothing is guided, the recorders took the one of the official evaluation without guidance
    (0.95) and the card does not say so: whichever repeats the first step's tokens must then repeat all."""
    own = golden.config["sample"]["temperature"]
    if mode == "sample_cfg":
        return own

    def error(value: float) -> float:
        replay = Replay(normal=recorded_noise(golden, mode, 0))
        z = golden[f"out.{mode}.step0.z"][None]
        return difference(
            generator.head.sample(z, False, SamplingOptions(temperature=value), replay)[0],
            golden[f"out.{mode}.step0.tokens"],
        )

    return min((own, 0.95, own + 0.05, 1.0), key=error)


DRAWINGS = [
    pytest.param(case.values[0], mode, id=f"{case.id}-{mode}")
    for mode in ("sample_cfg", "sample_nocfg")
    for case in goldens(*MAR, having=f"out.{mode}.latents")
]


@pytest.mark.parametrize(("golden", "mode"), DRAWINGS)
@torch.no_grad()
def test_drawing(golden: Golden, mode: str) -> None:
    config = golden.config["sample"]
    generator = filled(golden)
    heat = temperature(golden, mode, generator)
    generator.head = witness = Witness(generator.head)
    orders, batch = golden[f"in.{mode}.orders"], len(golden[f"in.{mode}.labels"])
    steps = steps_of_ranks(orders.argsort(1), cosine_unmasking(orders.shape[1], config["num_iter"]))
    noise = [draw for step in range(config["num_iter"]) for draw in recorded_noise(golden, mode, step)]
    options = SamplingOptions(guidance=config["cfg"] if mode == "sample_cfg" else 1.0, temperature=heat)
    seen: list[Tensor] = []
    replay = Replay(normal=noise)
    decoder = Decoder(
        generator, options, config["num_iter"], {"linear": with_known, "constant": constant}[config["cfg_schedule"]]
    )
    labels = golden[f"in.{mode}.labels"]
    tokens = decoder(labels, replay, plan=steps, watch=lambda step, total, tokens, steps: seen.append(tokens.clone()))
    replay.finish()
    assert len(witness.seen) == len(seen) == config["num_iter"]
    for step, ours in enumerate(witness.seen):
        official = golden.under(f"out.{mode}.step{step}.")
        agree(ours["z"], official["z"])
        agree(torch.tensor([ours["cfg"]]), official["cfg"])
        conditional = official["tokens"][: len(ours["tokens"])]
        agree(ours["tokens"], conditional)
        agree(seen[step][steps == step + 1], conditional)
        assert not seen[step][steps > step + 1].any()
    assert tokens.shape[0] == batch
    agree(unfolded(golden, tokens), golden[f"out.{mode}.latents"])


# Autoencoder


def autoencoder(golden: Golden) -> KlAutoencoder:
    config = golden.config["vae"]
    levels = len(config["ch_mult"])
    tokenizer = KlAutoencoder(
        size=(golden["in.vae.image"].shape[-2], golden["in.vae.image"].shape[-1]),
        width=config["ch"],
        multipliers=tuple(config["ch_mult"]),
        channels=golden["out.vae.z"].shape[1],
        depth=config.get("num_res_blocks", 2),
        attention=[i for i in range(levels) if config["resolution"] // 2**i in config.get("attn_resolutions", [16])],
        scale=LATENT_SCALE,
    ).eval()
    TOKENIZER.fill(tokenizer, official_state(golden, "vae"))
    return tokenizer


@pytest.mark.parametrize("golden", goldens(*MAR, having="out.vae.moments"))
@torch.no_grad()
def test_autoencoder(golden: Golden) -> None:
    tokenizer = autoencoder(golden)
    image, noise = golden["in.vae.image"], golden["in.vae.noise"]
    agree(tokenizer.features(image), golden["out.vae.moments"])
    reconstruction, bottleneck = tokenizer(image, Replay(normal=[noise]))
    agree(bottleneck.latents, golden["out.vae.z"])
    agree(reconstruction, golden["out.vae.decoded"])
    for row, kl in enumerate(golden["out.vae.kl"]):
        own = tokenizer(image[row : row + 1], Replay(normal=[noise[row]]))[1]
        agree(own.metrics["kl"] * noise[row].numel(), kl)


@pytest.mark.parametrize("golden", goldens(*MAR, having="out.vae.moments"))
@torch.no_grad()
def test_tokens_of_the_autoencoder(golden: Golden) -> None:
    tokenizer = autoencoder(golden)
    tokens = tokenizer.encode(golden["in.vae.image"], Replay(normal=[golden["in.vae.noise"]]))
    agree(tokens, golden["out.vae.z"].flatten(2).mT * LATENT_SCALE)
    agree(tokenizer.decode(tokens), golden["out.vae.decoded"].clamp(-1, 1))


# Names and sizes


@pytest.mark.parametrize(("size", "millions"), [(MAR_BASE, 208), (MAR_LARGE, 479), (MAR_HUGE, 943)])
def test_published_sizes(size: MarSizes, millions: int) -> None:
    with torch.device("meta"):
        generator = official_generator(size)
    assert sum(p.numel() for p in generator.parameters()) / 1e6 == pytest.approx(millions, rel=2e-3)


def test_published_tokenizer() -> None:
    with torch.device("meta"):
        tokenizer = official_tokenizer()
    assert tokenizer.layout.grids == ((16, 16),)
    assert [len(level.attentions) for level in tokenizer.encoder.levels] == [0, 0, 0, 0, 2]
    assert not any(len(level.attentions) for level in tokenizer.decoder.levels)


def test_a_state_that_does_not_fit_is_named() -> None:
    golden = Golden(TESTS / "golden" / "mar_respaced-a.json")
    state = official_state(golden, "mar")
    generator = official_generator(sizes(golden))
    state["fake_latentt"] = state.pop("fake_latent")
    state["mask_token"] = torch.zeros(1, 1, 1)
    with pytest.raises(
        CheckpointError, match=r"lacks fake_latent; .*unknown fake_latentt; .*mask_token is \[1, 1, 1\]"
    ):
        GENERATOR.fill(generator, state)
