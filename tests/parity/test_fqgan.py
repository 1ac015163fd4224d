"""FQGAN's tokenizers and generators against the authors' code: same weights, same draws, same numbers."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.parity.drawing import landing
from tests.parity.goldens import Golden, Replay, agree, goldens
from torch import Tensor, nn

from limner.decode.decoder import Decoder
from limner.generators.generator import Generator
from limner.generators.heads.categorical import probabilities
from limner.generators.heads.head import SamplingOptions, guide
from limner.nn.norms import gated_hidden
from limner.store.official import fqgan
from limner.store.official.fqgan import READER_NAMES, FarSizes, FqganSizes, official_generator, official_tokenizer
from limner.store.release import Release, depth_of, fill, official_name
from limner.store.released import recognise
from limner.tokenizers.factorized import BranchSizes, FactorizedObjective, MeaningReader
from limner.tokenizers.objective import ReconstructionObjective
from limner.tokenizers.quantizers.digits import compose
from limner.tokenizers.quantizers.learned import LearnedCodebook, assignment_entropy
from limner.tokenizers.tokenizer import Codec
from limner.types import Rng

TOKENIZERS, GENERATORS = goldens("fqgan_dual", "fqgan_triple"), goldens("far_dual", "far_triple")
MULTIPLIERS = {"VQ-16": (1, 1, 2, 2, 4), "VQ-8": (1, 2, 2, 4)}
READERS = {"clip": ("feat_pred_head", "high_sem_feat_pred"), "dino": ("mid_sem_feat_pred",)}


def test_no_golden_is_missing() -> None:
    assert TOKENIZERS
    assert GENERATORS


def heads(golden: Golden) -> int:
    """Heads of every transformer, which the official text fixes."""
    text = "self.num_heads = 8"
    for before, after in golden.config["substituted"]:
        text = after if text == before else text
    return int(text.rpartition(" ")[2])


def parts(golden: Golden) -> tuple[str, ...]:
    """Names of the sub-codes in the decoder's order."""
    return tuple(short for _, short in (fqgan.PARTS if golden.card["name"].endswith("dual") else fqgan.THREE))


def tokenizer_sizes(golden: Golden) -> FqganSizes:
    config, state, arguments = golden.config, golden.state(), golden.config["model_args"]
    length, width = state["encoder.visual_head.0.positional_embedding"].shape
    depth = depth_of(state, "encoder.visual_head.0.transformer")
    return FqganSizes(
        codes=len(parts(golden)),
        branch=BranchSizes(width, depth, heads(golden), length),
        multipliers=MULTIPLIERS[config["vq"]],
        size=config["img"],
        width=config["ch"],
        hidden=arguments["z_channels"],
        entries=arguments["codebook_size"],
        channels=arguments["codebook_embed_dim"],
        groups=config["groups"],
        entropy=arguments["entropy_loss_ratio"],
        disentangle=arguments["disentanglement_ratio"] if arguments["with_disentanglement"] else 0.0,
        commitment=arguments["commit_loss_beta"],
    )


def release_of(golden: Golden) -> Release:
    index = parts(golden) == tuple(short for _, short in fqgan.THREE)
    return fqgan.RELEASES[int(index)]


def tokenizer(golden: Golden) -> Codec:
    model = official_tokenizer(tokenizer_sizes(golden))
    release_of(golden).fill(model, golden.state())
    return model


def ids_of(golden: Golden, model: Codec) -> Tensor:
    digits = torch.stack([golden[f"out.{short}.ids"] for short in parts(golden)], -1)
    return compose(digits, model.quantizer.radices)


@pytest.mark.parametrize("golden", TOKENIZERS)
@torch.no_grad()
def test_ids_and_pictures(golden: Golden) -> None:
    model = tokenizer(golden).eval()
    agree(model.features(golden["in.image"]), torch.cat([golden[f"out.{part}.h"] for part in parts(golden)], 1))
    ids = model.encode(golden["in.image"])
    assert torch.equal(ids, ids_of(golden, model))
    (grid,) = model.layout.grids
    agree(model.quantizer.latents(ids, *grid), torch.cat([golden[f"out.{part}.quant"] for part in parts(golden)], 1))
    agree(model.decode(ids), golden["out.decode_code"].clamp(-1, 1))


@pytest.mark.parametrize("golden", TOKENIZERS)
@torch.no_grad()
def test_penalties(golden: Golden) -> None:
    model = tokenizer(golden)
    features = model.features(golden["in.image"]).split(model.quantizer.widths, 1)
    ratio = golden.config["model_args"]["entropy_loss_ratio"]
    for part, given, book in zip(parts(golden), features, model.quantizer.codebooks, strict=True):
        assert isinstance(book, LearnedCodebook)
        metrics = book(given, Rng(0)).metrics
        agree(metrics["pull"], golden[f"out.train.{part}.vq_loss"])
        agree(metrics["commitment"], golden[f"out.train.{part}.commit_loss"])
        vectors = given.permute(0, 2, 3, 1).flatten(0, 2)
        agree(ratio * assignment_entropy(book.distances(vectors)), golden[f"out.train.{part}.entropy_loss"])
    overlap = model.quantizer(model.features(golden["in.image"]), Rng(0)).metrics["overlap"]
    agree(model.quantizer.disentangle * overlap, golden["out.train.disentangle"])


def readers(golden: Golden) -> dict[str, MeaningReader]:
    """By teacher, what reads meaning."""
    made = {}
    for teacher in ("dino", "clip"):
        for name in READERS[teacher]:
            state = {
                key.removeprefix(f"{name}."): value
                for key, value in golden.state().items()
                if key.startswith(f"{name}.")
            }
            if state:
                length, width = state["positional_embedding"].shape
                sizes = BranchSizes(width, depth_of(state, "transformer"), heads(golden), length)
                made[teacher] = MeaningReader(golden.config["model_args"]["codebook_embed_dim"], sizes)
                fill(made[teacher], state, READER_NAMES)
    return made


@pytest.mark.parametrize("golden", TOKENIZERS)
def test_loss_and_gradients(golden: Golden) -> None:
    model, reading = tokenizer(golden), readers(golden)
    seen = [golden[f"in.feat_{teacher}"].flatten(1) for teacher in reading]
    teachers = [lambda image, vectors=vectors: vectors for vectors in seen]
    weight = golden.config["semantic_weight"]
    objective = FactorizedObjective(
        ReconstructionObjective(l1=0.0, l2=1.0), nn.ModuleList(reading.values()), teachers, weight
    )
    loss, metrics = objective(model, golden["in.image"], Rng(0))
    for index, teacher in enumerate(reading):
        agree(metrics[f"meaning/{index}"], golden[f"out.train.sem_loss_{teacher}"])
    agree(4 * 10 ** (-metrics["psnr"] / 10), golden["out.train.rec_mse"])
    agree(loss, golden["out.train.total"])
    loss.backward()
    names = release_of(golden).names
    ours: dict[str, Any] = {official_name(name, names): one.grad for name, one in model.named_parameters()}
    for teacher, reader in reading.items():
        (prefix,) = (name for name in READERS[teacher] if f"{name}.class_embedding" in golden.state())
        for name, parameter in reader.named_parameters():
            ours[f"{prefix}.{official_name(name, READER_NAMES)}"] = parameter.grad
    gradients = golden.under("out.train.grad.")
    assert gradients
    for name, wanted in gradients.items():
        scale = wanted.abs().max()
        agree(ours[name] / scale, wanted / scale, 5e-4)


# Generators


def generator_sizes(golden: Golden) -> FarSizes:
    arguments = golden.config["model_args"]
    return FarSizes(
        width=arguments["dim"],
        depth=arguments["n_layer"],
        head_depth=arguments["ar_n_layer"],
        heads=arguments["n_head"],
        codes=codes(golden),
        hidden=gated_hidden(arguments["dim"], arguments["multiple_of"]),
        side=math.isqrt(arguments["block_size"]),
        entries=arguments["vocab_size"],
        classes=arguments["num_classes"],
        drop=arguments["class_dropout_prob"],
        dropout=arguments["resid_dropout_p"],
    )


def codes(golden: Golden) -> int:
    return sum(key.startswith("in.ids") for key in golden.tensors)


def generator(golden: Golden) -> Generator:
    model = official_generator(generator_sizes(golden))
    fqgan.RELEASES[codes(golden)].fill(model, golden.state())
    return model


def digits(golden: Golden, name: str) -> Tensor:
    return torch.stack([golden[f"in.{name}{index + 1}"] for index in range(codes(golden))], -1)


@pytest.mark.parametrize("golden", GENERATORS)
def test_generator_s_loss_and_gradients(golden: Golden) -> None:
    model = generator(golden).train()
    tokens, drop = compose(digits(golden, "ids"), model.head.radices), golden["in.train.drop_rand"]
    steps = model.order.training_steps(len(tokens), model.layout, Rng(0))
    everything = torch.arange(tokens.shape[1]).expand_as(tokens)
    condition = model.condition(golden["in.labels"], drop < model.drop)
    contexts = model.contexts(tokens, steps, condition, everything)
    for index, logits in enumerate(model.head.logits(contexts, digits(golden, "ids")[..., :-1])):
        agree(logits, golden[f"out.train.logits{index + 1}"])
    loss = model.loss(tokens, golden["in.labels"], Replay(uniform=[drop]))
    agree(loss, golden["out.train.loss"])
    loss.backward()
    names = fqgan.RELEASES[codes(golden)].names
    ours: dict[str, Any] = {official_name(name, names): one.grad for name, one in model.named_parameters()}
    ours["cls_embedding.embedding_table.weight"] = torch.cat(
        [ours.pop("cls_embedding.classes"), ours.pop("cls_embedding.nothing")]
    )
    for name, wanted in golden.under("out.train.grad.").items():
        scale = wanted.abs().max()
        agree(ours[name] / scale, wanted / scale)


class Noted(nn.Module):
    """The head, made to draw what the authors drew, each sub-code under its own options."""

    def __init__(self, golden: Golden, way: str, head: Any) -> None:
        super().__init__()
        self.golden, self.way, self.head = golden, way, head
        self.embed, self.blank, self.at = head.embed, head.blank, 0

    def sample(self, contexts: Tensor, guided: bool, options: SamplingOptions, rng: Rng) -> Tensor:
        """Every sub-code's logits and probabilities are those recorded."""
        golden, way, at = self.golden, self.way, slice(self.at, self.at + 1)
        wanted, copies = digits(golden, f"{way}.draw")[:, at], 2 if guided else 1
        agree(contexts, golden[f"out.{way}.context"][: len(contexts), at])
        uniform = []
        for index in range(codes(golden)):
            raw = self.head.logits(contexts, torch.cat([wanted[..., :index]] * copies))[-1]
            agree(raw, golden[f"out.{way}.raw{index + 1}"][: len(raw), at])
            one = options_of(golden, way, index)
            logits = guide(raw, one.guidance) if guided else raw
            shares = probabilities(logits, one)
            agree(shares, golden[f"out.{way}.probs{index + 1}"][:, at])
            uniform.append(landing(shares, wanted[..., index]))
        self.at += 1
        if len({options_of(golden, way, index) for index in range(codes(golden))}) > 1:
            return compose(wanted, self.head.radices)
        drawn = self.head.sample(contexts, guided, options, Replay(uniform=uniform))
        assert torch.equal(drawn, compose(wanted, self.head.radices))
        return drawn


def options_of(golden: Golden, way: str, index: int) -> SamplingOptions:
    """Of one sub-code; a guidance below 1 is none in the official sampler."""
    given = golden.under(f"in.{way}.")
    scale = float(given["cfg_scale"][index])
    return SamplingOptions(
        guidance=scale if float(given["cfg_scale"][0]) > 1 else 1.0,
        temperature=float(given["temperature"][index]),
        top_k=int(given["top_k"][index]),
        top_p=float(given["top_p"][index]),
    )


@pytest.mark.parametrize("golden", GENERATORS)
@torch.no_grad()
def test_drawing(golden: Golden) -> None:
    ways = sorted({key.split(".")[1] for key in golden.tensors if key.endswith(".cfg_scale")})
    assert ways
    for way in ways:
        model = generator(golden).eval()
        model.head = noted = Noted(golden, way, model.head)
        decoder = Decoder(model, options_of(golden, way, 0), guidance=lambda strength, moment: strength)
        decoder(golden["in.labels"], Rng(list(range(len(golden["in.labels"])))))
        assert noted.at == model.count


# Releases


@pytest.mark.parametrize("sizes", [fqgan.DUAL_16, fqgan.TRIPLE_16, fqgan.DUAL_8, fqgan.TRIPLE_8, fqgan.FAR_B])
def test_a_release_is_recognised_and_its_sizes_are_read(sizes: Any) -> None:
    made = official_generator if isinstance(sizes, FarSizes) else official_tokenizer
    with torch.device("meta"):
        model = made(sizes)
    index = sizes.codes - 2 + 2 * isinstance(sizes, FarSizes)
    release = fqgan.RELEASES[index]
    state = {official_name(name, release.names): value for name, value in model.named_parameters()}
    assert recognise(state, Path("x.pt")) is release
    read = fqgan.generator_sizes_of if isinstance(sizes, FarSizes) else fqgan.tokenizer_sizes_of
    found = read(state)
    ours = {**vars(found), "hidden": None} if isinstance(sizes, FarSizes) else vars(found)
    assert ours == vars(sizes)
