"""ROSS against the authors' code: the denoiser, its loss with and without their mask, and every step of drawing."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from tests.parity.goldens import Golden, Replay, agree, goldens
from torch import Tensor, nn

import limner
from limner.processes.diffusion import cosine_schedule, respaced
from limner.store.official.ross import (
    HEADS,
    NAMES,
    RELEASES,
    TOKENIZER_NAMES,
    RossSizes,
    VaeSizes,
    official_denoising,
    official_tokenizer,
    prepare,
    prepare_tokenizer,
    sizes_of,
)
from limner.store.release import fill, official_name
from limner.tokenizers.kl import KlAutoencoder
from limner.types import Rng
from limner.unified.reconstruction import Denoising, Reconstruction
from limner.unified.targets import FoldedLatents

(RELEASE,) = RELEASES
DENOISERS = ("ross_denoiser_dit", "ross_denoiser_vit")
GROUPS = 4  # of the tiny autoencoder's GroupNorms, which no shape tells


def tokens(grid: Tensor) -> Tensor:
    """``[b c h w]`` as ours lie."""
    return grid.flatten(2).mT.contiguous()


def cells(rows: Tensor) -> Tensor:
    """Our tokens as ``[b c h w]``."""
    side = math.isqrt(rows.shape[1])
    return rows.mT.unflatten(2, (side, side))


def between(numbers: Tensor, count: int = 1000) -> Tensor:
    """Uniform draws that fall on these of ``count`` equal parts of [0, 1)."""
    return (numbers + 0.5) / count


def sizes(golden: Golden) -> RossSizes:
    """The official constructor's arguments in our words."""
    config = golden.config
    return RossSizes(
        context=config["z_channel"],
        grid=math.isqrt(config["n_patches"]),
        width=config["embed_dim"],
        depth=config["depth"],
        channels=config["x_channel"],
        heads=golden.card["net_num_heads"],
        hidden=int(config["embed_dim"] * golden.card["mlp_ratio"]),
        steps=int(config["timesteps"]),
        draws=1,
        modulated="denoiser_dit" in golden.card["module"],
        learned_variance=config["learn_sigma"],
    )


def filled(golden: Golden, *, normed: bool = False) -> Denoising:
    """The golden's denoiser; its contexts come from behind the LayerNorm, so ours is taken out."""
    denoising = official_denoising(sizes(golden)).eval()
    RELEASE.fill(denoising, golden.state())
    if not normed:
        denoising.norm = nn.Identity()
    return denoising


def test_no_golden_is_missing() -> None:
    assert goldens(*DENOISERS)
    assert goldens("ross_vm_loss")


@pytest.mark.parametrize("golden", goldens(*DENOISERS))
def test_schedules(golden: Golden) -> None:
    training, drawing = cosine_schedule(), respaced(cosine_schedule(), sizes(golden).steps)
    agree(torch.from_numpy(training.betas), golden["out.betas_train"], 1e-12)
    agree(torch.from_numpy(training.signal), golden["out.alphas_cumprod_train"], 1e-12)
    agree(torch.from_numpy(drawing.betas), golden["out.betas_gen"], 1e-12)
    variance = torch.from_numpy(drawing.posterior_log_variance)
    agree(variance, golden["out.gen_posterior_log_variance_clipped"], 1e-12)
    assert drawing.timesteps.tolist() == golden["out.gen_timestep_map"].tolist()


@pytest.mark.parametrize("golden", goldens(*DENOISERS, having="state.net.pos_embed"))
def test_positions_and_inferred_sizes(golden: Golden) -> None:
    agree(official_denoising(sizes(golden)).network.position, golden["state.net.pos_embed"], 1e-6)
    found, wanted = sizes_of(prepare(golden.state())), sizes(golden)
    for name in ("context", "grid", "width", "depth", "channels", "heads", "hidden", "modulated", "learned_variance"):
        assert getattr(found, name) == getattr(wanted, name), name


@pytest.mark.parametrize("golden", goldens(*DENOISERS))
@torch.no_grad()
def test_norm_and_network(golden: Golden) -> None:
    denoising = filled(golden, normed=True)
    agree(denoising.norm(golden["in.ln_pre_input"]), golden["out.ln_pre"])
    network = denoising.network
    found = network(tokens(golden["out.x_t"]), golden["in.t"], network.read(tokens(golden["in.z"])))
    agree(cells(found[..., : network.channels]), golden["out.eps_pred"][:, : network.channels])


@pytest.mark.parametrize("golden", goldens(*DENOISERS))
def test_loss_and_gradient(golden: Golden) -> None:
    denoising, z = filled(golden), tokens(golden["in.z"]).requires_grad_()
    replay = Replay(uniform=[between(golden["in.t"])], normal=[tokens(golden["in.noise"])])
    seen: list[Tensor] = []
    denoising.network.register_forward_pre_hook(lambda _, given: seen.append(given[0].detach()))
    losses = denoising.losses(z, tokens(golden["in.target"]), replay)
    replay.finish()
    agree(cells(seen[0]), golden["out.x_t"])
    agree(losses[0], golden["out.loss_per_sample"])
    losses.mean().backward()
    assert z.grad is not None
    wanted = golden["out.grad_z_of_mean_loss"]
    agree(cells(z.grad) / wanted.abs().max(), wanted / wanted.abs().max())


@pytest.mark.parametrize("golden", goldens(*DENOISERS, having="out.sample"))
@torch.no_grad()
def test_every_step_of_drawing(golden: Golden) -> None:
    denoising, seen = filled(golden), list[Tensor]()
    denoising.network.register_forward_pre_hook(lambda _, given: seen.append(given[0].clone()))
    noise = [golden["in.sample_init_noise"], *golden["in.sample_step_noise"]]
    replay = Replay(normal=[tokens(one) for one in noise])
    drawn = denoising.predict(tokens(golden["in.z"]), replay, temperature=golden.card["temperature"])
    replay.finish()
    assert len(seen) == denoising.steps
    for found, wanted in zip([*seen[1:], drawn], golden["out.sample_trajectory"], strict=True):
        agree(cells(found), wanted)
    agree(cells(drawn), golden["out.sample"])


# The whole visual loss


def tiny_vae(golden: Golden) -> KlAutoencoder:
    """The golden's autoencoder, of which it holds the encoder."""
    state = golden.state()
    widths = [
        len(state[f"pixel_decoder.encoder.down_blocks.{level}.resnets.0.conv1.weight"])
        for level in range(sum(key.endswith("resnets.0.conv1.weight") and ".down_blocks." in key for key in state))
    ]
    depth = sum("pixel_decoder.encoder.down_blocks.0.resnets" in key and "conv1.weight" in key for key in state)
    tokenizer = official_tokenizer(
        VaeSizes(
            size=golden.card["decode_image_size"],
            width=len(state["pixel_decoder.encoder.conv_in.weight"]),
            multipliers=tuple(width // widths[0] for width in widths),
            depth=depth,
            channels=golden.card["latent_channels"],
            scale=golden.card["scaling_factor"],
            shift=golden.card["shift_factor"],
            groups=GROUPS,
        )
    ).eval()
    fill(nn.ModuleDict({"encoder": tokenizer.encoder}), prepare_tokenizer(state), TOKENIZER_NAMES)
    return tokenizer


class Case:
    """The golden's batch as ours wants it, with the draws of these ``rows``; theirs holds all rows, draw after draw."""

    def __init__(self, golden: Golden, rows: Tensor) -> None:
        card = golden.card
        mean, deviation = (torch.tensor(card[name])[:, None, None] for name in ("image_mean", "image_std"))
        self.image = ((golden["in.images"] * deviation + mean - 0.5) / 0.5).clamp(-1.0, 1.0)
        self.has_picture = torch.tensor(card["has_image"])
        self.all_hidden = golden["in.hidden_states"].clone().requires_grad_()
        begins = golden["in.boi"].clamp_min(0)[:, None] + torch.arange(card["grid"] ** 2)
        self.hidden = self.all_hidden[torch.arange(len(begins))[:, None], begins]
        self.draws = len(golden["in.t"]) // len(self.has_picture)
        noise = tokens(golden["in.noise"]).unflatten(0, (self.draws, -1))
        self.replay = Replay(
            uniform=[between(golden["in.t"].unflatten(0, (self.draws, -1))[:, rows])],
            normal=[golden["in.posterior_noise"][rows], noise[:, rows]],
        )

    def denoising(self, golden: Golden) -> Denoising:
        own = sizes_of(prepare(golden.state()))
        denoising = official_denoising(RossSizes(**{**vars(own), "draws": self.draws})).eval()
        RELEASE.fill(denoising, golden.state())
        return denoising

    def loss(self, golden: Golden, tokenizer: KlAutoencoder, *, official_masking: bool) -> Tensor:
        target = FoldedLatents(tokenizer, golden.card["latent_channels"], golden.card["grid"] ** 2)
        reconstruction = Reconstruction(target, self.denoising(golden), official_masking=official_masking)
        loss = reconstruction(self.hidden, self.image, self.has_picture, self.replay)
        self.replay.finish()
        return loss


@pytest.mark.parametrize("golden", goldens("ross_vm_loss"))
def test_context_and_target(golden: Golden) -> None:
    case = Case(golden, torch.arange(len(golden.card["has_image"])))
    target = FoldedLatents(tiny_vae(golden), golden.card["latent_channels"], golden.card["grid"] ** 2)
    values = target.values(case.image, Replay(normal=[golden["in.posterior_noise"]]))
    agree(cells(values).repeat(case.draws, 1, 1, 1), golden["out.target_z0"])
    context = case.denoising(golden).norm(case.hidden * case.has_picture[:, None, None])
    agree(cells(context).repeat(case.draws, 1, 1, 1), golden["out.context_z"])


@pytest.mark.parametrize("golden", goldens("ross_vm_loss"))
def test_loss_with_the_official_mask(golden: Golden) -> None:
    case = Case(golden, torch.arange(len(golden.card["has_image"])))
    loss = case.loss(golden, tiny_vae(golden), official_masking=True)
    agree(loss, golden["out.vm_loss"])
    loss.backward()
    assert case.all_hidden.grad is not None
    wanted = golden["out.grad_hidden_states"]
    agree(case.all_hidden.grad / wanted.abs().max(), wanted / wanted.abs().max())


@pytest.mark.parametrize("golden", goldens("ross_vm_loss"))
def test_loss_of_rows_with_a_picture_alone(golden: Golden) -> None:
    has = torch.tensor(golden.card["has_image"])
    rows = has.nonzero()[:, 0]
    case = Case(golden, rows)
    loss = case.loss(golden, tiny_vae(golden), official_masking=False)
    agree(loss, golden["out.loss_per_row"].unflatten(0, (case.draws, -1))[:, rows].mean())
    loss.backward()
    assert case.all_hidden.grad is not None
    share = len(has) / len(rows)  # their mean is over all rows, ours over these
    wanted = golden["out.grad_hidden_states"][rows]
    agree(case.all_hidden.grad[rows] / wanted.abs().max() / share, wanted / wanted.abs().max())
    assert not case.all_hidden.grad[~has].any()


# Files


@pytest.mark.parametrize("prefix", ["mm_inv_projector.", "model.mm_inv_projector."])
@pytest.mark.parametrize("modulated", [True, False])
def test_a_published_file_is_loaded(tmp_path: Path, prefix: str, modulated: bool) -> None:
    torch.manual_seed(0)
    own = official_denoising(
        RossSizes(context=24, grid=2, width=HEADS * 4, depth=1, channels=8, modulated=modulated)
    ).eval()
    with torch.no_grad():
        for parameter in own.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    state = {prefix + official_name(name, NAMES): value.clone() for name, value in own.state_dict().items()}
    state[f"{prefix}net.x_embedder.proj.weight"] = state[f"{prefix}net.x_embedder.proj.weight"][..., None, None]
    state["model.mm_projector.0.weight"] = torch.ones(2)
    if not modulated:
        state[f"{prefix}pos_embed"] = torch.ones(1, 4, 24)
    save_file(state, tmp_path / "mm_inv_projector.safetensors")
    loaded = limner.load(tmp_path / "mm_inv_projector.safetensors")
    hidden, values = torch.randn(2, 4, 24), torch.randn(2, 4, 8)
    with torch.no_grad():
        assert torch.equal(loaded.losses(hidden, values, Rng(0)), own.losses(hidden, values, Rng(0)))


def test_the_published_autoencoder_is_filled() -> None:
    """Under the names of diffusers' ``AutoencoderKL``, whose decoder counts levels from the coarsest."""
    torch.manual_seed(0)
    sizes = VaeSizes(size=16, width=8, multipliers=(1, 2), depth=1, channels=4, groups=GROUPS)
    own, other = (official_tokenizer(sizes) for _ in "ab")
    for layer in (own.encoder.moments, own.decoder.latents):  # theirs has neither
        nn.init.dirac_(layer.weight)
        nn.init.zeros_(layer.bias)
    state = {}
    for name, value in own.state_dict().items():
        key = official_name(name, TOKENIZER_NAMES)
        if name.startswith("quantizer.") or "beside_latents" in key:
            continue
        key = re.sub(r"up_blocks\.(\d)", lambda level: f"up_blocks.{1 - int(level[1])}", key)
        state[f"model.pixel_decoder.pixel_decoder.{key}"] = (
            value.flatten(1) if ".to_" in key and value.ndim == 4 else value
        )
    assert "model.pixel_decoder.pixel_decoder.decoder.up_blocks.0.upsamplers.0.conv.weight" in state
    fill(other, prepare_tokenizer(state), TOKENIZER_NAMES)
    image = torch.rand(1, 3, 16, 16) * 2 - 1
    with torch.no_grad():
        assert torch.equal(other.encode(image), own.encode(image))
        assert torch.equal(other.decode(other.encode(image)), own.decode(own.encode(image)))
    assert official_tokenizer().layout.length == 4 * 27**2
