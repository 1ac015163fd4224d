"""FlexTok against the authors' code: same weights, same numbers."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from tests.parity.goldens import Golden, Replay, agree, goldens
from torch import Tensor

import limner
from limner.errors import CheckpointError
from limner.store.official import flextok
from limner.store.official.flextok import GRAPH, NAMES, RELEASES, as_tensor, official_tokenizer, prepare, sizes_of
from limner.store.release import fill, official_name
from limner.store.released import recognise
from limner.tokenizers.flextok import FlexTok, FlowObjective
from limner.tokenizers.flow_decoder import Guide, ProjectedGuidance, classifier_free
from limner.tokenizers.registers import PatchGrid, TransformerSizes
from limner.types import Layout

CASES = goldens("flextok")


def state_of(golden: Golden) -> dict[str, Tensor]:
    return prepare({**golden.state(), GRAPH: as_tensor(golden.config["hydra"])})


@cache
def filled(golden: Golden) -> FlexTok:
    state = state_of(golden)
    sizes = sizes_of(state)
    groups = golden.config["vae_base_cfg"]["norm_num_groups"]  # which neither shapes nor the graph tell: always 32
    tokenizer = official_tokenizer(replace(sizes, vae=replace(sizes.vae, groups=groups))).eval()
    fill(tokenizer, state, NAMES, skip=RELEASES[0].skip)
    return tokenizer


def line(latents: Tensor) -> Tensor:
    """Latents ``[b c h w]`` as tokens."""
    return latents.flatten(2).mT


@pytest.mark.parametrize("golden", CASES)
@torch.no_grad()
def test_encoding(golden: Golden) -> None:
    tokenizer, image = filled(golden), golden["in.image"]
    mean, log_variance = tokenizer.base.quantizer.moments(tokenizer.base.features(image))
    agree(mean, golden["out.enc.vae_mean"])
    agree(log_variance, golden["out.enc.vae_logvar"])
    noise = Replay(normal=[golden["in.enc.posterior_noise"]])
    features = tokenizer.features(image, noise)
    noise.finish()
    registers = features[:, :, 0].mT
    agree(registers, golden["out.enc.registers"])
    agree(tokenizer.quantizer.bounded(registers), golden["out.enc.bounded"])
    ids = tokenizer.encode(image, Replay(normal=[golden["in.enc.posterior_noise"]]))
    assert torch.equal(ids, golden["out.enc.ids"])
    codes = tokenizer.quantizer.latents(ids, 1, ids.shape[1])[:, :, 0].mT
    agree(codes, golden["out.enc.quant"])
    agree(codes, golden["out.enc.codes_from_ids"])


@pytest.mark.parametrize("golden", CASES)
def test_codes_of_ids(golden: Golden) -> None:
    ids = golden["in.fsq.ids"][None]
    agree(filled(golden).quantizer.latents(ids, 1, ids.shape[1])[0, :, 0].T, golden["out.fsq.codes"])


def guide_of(golden: Golden, mode: str) -> Guide | None:
    scale = float(golden[f"in.{mode}.guidance_scale"])
    if scale == 1.0:
        return None
    return ProjectedGuidance(scale) if mode == "apg" else classifier_free(scale)


@pytest.mark.parametrize("mode", ["plain", "cfg", "apg"])
@pytest.mark.parametrize("golden", CASES)
@torch.no_grad()
def test_decoding(golden: Golden, mode: str) -> None:
    """The flow from the recorded noise under the first ``keep_k`` tokens of each image."""
    tokenizer = filled(golden)
    decoder, ids, kept = tokenizer.decoder, golden["out.enc.ids"], golden["in.dec.keep_k"]
    steps, noise = int(golden[f"in.{mode}.steps"]), line(golden[f"in.{mode}.noise"])
    registers = decoder.registers(tokenizer.quantizer.latents(ids, 1, ids.shape[1]), kept)
    nothing = decoder.without(registers, torch.ones(len(ids), dtype=torch.bool))
    step = 0
    while f"out.{mode}.step{step}.x" in golden.tensors:
        x, t = line(golden[f"out.{mode}.step{step}.x"]), torch.full((len(ids),), 1.0 - step / steps)
        agree(decoder(x, t, registers), line(golden[f"out.{mode}.step{step}.v_cond"]))
        if f"out.{mode}.step{step}.v_uncond" in golden.tensors:
            agree(decoder(x, t, nothing), line(golden[f"out.{mode}.step{step}.v_uncond"]))
        step += 1
    assert step >= 2
    latents = decoder.sample(noise, registers, steps, guide_of(golden, mode))
    agree(latents, line(golden[f"out.{mode}.latents"]))
    image = golden[f"out.{mode}.image"]
    agree(tokenizer.base.decode(latents), image.clamp(-1.0, 1.0))


@pytest.mark.parametrize("golden", CASES)
@torch.no_grad()
def test_a_prefix_decodes_as_the_authors_do(golden: Golden) -> None:
    """`FlexTok.decode`, image by image as long as its own prefix, by the released way of guidance."""
    tokenizer = filled(golden)
    tokenizer.guidance, steps = float(golden["in.apg.guidance_scale"]), int(golden["in.apg.steps"])
    for row, kept in enumerate(golden["in.dec.keep_k"].tolist()):
        noise = Replay(normal=[line(golden["in.apg.noise"][row : row + 1])])
        image = tokenizer.decode(golden["out.enc.ids"][row : row + 1, :kept], noise, steps)
        agree(image, golden["out.apg.image"][row : row + 1].clamp(-1.0, 1.0))


@pytest.mark.parametrize("golden", CASES)
def test_loss_and_gradients(golden: Golden) -> None:
    tokenizer = filled(golden)
    count, kept = tokenizer.decoder.count, golden["in.train.keep_k"]
    recorded = Replay(
        normal=[golden["in.train.posterior_noise"], golden["in.train.t_normal"], line(golden["in.train.noise"])],
        uniform=[(kept - 0.5) / count, golden["in.train.null_uniform"]],
    )
    drop = golden.config["hydra"]["decoder"]["module_dict"]["dec_latent_dropout"]["dropout_prob"]
    tokenizer.zero_grad()
    loss, _ = FlowObjective(drop)(tokenizer, golden["in.image"], recorded)
    recorded.finish()
    agree(loss, golden["out.train.loss"])
    loss.backward()
    gradients = golden.under("out.train.grad.")
    ours = {official_name(name, NAMES): parameter for name, parameter in tokenizer.named_parameters()}
    assert gradients
    for name, gradient in gradients.items():
        found = ours[name].grad
        assert found is not None
        largest = gradient.abs().max()
        agree(found / largest, gradient / largest)


# Names and sizes


def released(folder: Path) -> Path:
    """A small FlexTok as its authors publish one: weights under their names, and beside them the graph."""
    sizes = flextok.FlexTokSizes(
        vae=flextok.VaeSizes(size=(16, 32), width=32, multipliers=(1, 2), depth=1, channels=4, scale=0.5, shift=0.0),
        latents=PatchGrid((8, 16), 4, 2),
        encoder=TransformerSizes(64, 1, 2, 24),
        decoder=TransformerSizes(96, 2, 3, 32),
        count=4,
        levels=(5, 4, 3),
        kinds=2,
        frequency=1000.0,
    )
    torch.manual_seed(0)
    made = official_tokenizer(sizes)
    state = {official_name(name, NAMES): value for name, value in made.state_dict().items()}
    state = {key: value for key, value in state.items() if not key.startswith(f"{flextok.VAE}quantizer.")}
    save_file(flextok.prepare(state), folder / "model.safetensors")  # counted from the coarsest: its own inverse
    graph = {
        "encoder": {"module_dict": {"enc_transformer": {"head_dim": 32}}},
        "decoder": {"module_dict": {"dec_transformer": {"head_dim": 32}, "dec_time_embedder": {"max_timestep": 1.0}}},
        "regularizer": {"levels": [5, 4, 3]},
        "vae": {"scaling_factor": 0.5},
    }
    (folder / "config.json").write_text(json.dumps(graph))
    return folder / "model.safetensors"


def test_a_released_file_is_loaded_saved_and_loaded(tmp_path: Path) -> None:
    file = released(tmp_path)
    model = limner.load(file)
    assert isinstance(model, FlexTok)
    assert (model.size, model.layout, model.decoder.time.scale) == ((16, 32), Layout(((4,),), nested=True), 1000.0)
    image = torch.rand(2, 3, 16, 32) * 2 - 1
    tokens = model.encode(image)
    again = limner.load(limner.save(model, tmp_path / "saved"))
    assert torch.equal(again.encode(image), tokens)
    assert torch.equal(again.decode(tokens[:, :2], steps=2), model.decode(tokens[:, :2], steps=2))
    (tmp_path / "config.json").unlink()
    with pytest.raises(CheckpointError, match=r"put its config.json in the folder"):
        limner.load(file)


@pytest.mark.parametrize("golden", CASES)
def test_sizes_are_read_from_shapes_and_the_graph(golden: Golden) -> None:
    state, graph = state_of(golden), golden.config["hydra"]
    sizes = sizes_of(state)
    encoder, decoder = graph["encoder"]["module_dict"], graph["decoder"]["module_dict"]
    trunks = encoder["enc_transformer"], decoder["dec_transformer"]
    for found, trunk in zip((sizes.encoder, sizes.decoder), trunks, strict=True):
        assert found[:3] == (trunk["dim"], trunk["depth"], trunk["dim"] // trunk["head_dim"])
    assert sizes.count == encoder["enc_register_module"]["n_max"]
    assert sizes.kinds == decoder["dec_transformer"]["adaLN_expansion"]
    assert [sizes.latents.patch] * 2 == encoder["enc_patch_emb"]["patch_sizes"]
    assert sizes.latents.channels == sizes.vae.channels == graph["vae"]["latent_channels"]
    widths = golden.config["vae_base_cfg"]["block_out_channels"]
    assert [sizes.vae.width * multiplier for multiplier in sizes.vae.multipliers] == widths
    assert sizes.vae.depth == golden.config["vae_base_cfg"]["layers_per_block"]
    assert recognise(golden.state(), Path("model.safetensors")) is RELEASES[0]
    without = {key: value for key, value in state.items() if key != GRAPH}
    with pytest.raises(CheckpointError, match="nothing beside the weights says how FlexTok was built"):
        sizes_of(without)
