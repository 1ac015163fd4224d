"""Ovis against the authors' code and the `transformers` library: features, scores, codes, gradients, texts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from tests.parity.goldens import Golden, agree, described, goldens
from torch import Tensor
from torch.nn import functional

from limner.connectors.coefficients import Gumbel, Phi, Softmax, StraightThrough, Unconstrained
from limner.connectors.ovis import neighbours
from limner.encoders.navit import NativeTransformer, native_size
from limner.errors import InputError
from limner.store.official.ovis import (
    OVIS_1_8B,
    OVIS_2_1B,
    RELEASES,
    Eyes,
    OvisSizes,
    aimv2,
    clip,
    navit,
    official_eyes,
    quick_gelu,
    siglip,
    tower_sizes,
)
from limner.store.release import Release, fill
from limner.store.released import load_released, recognise
from limner.unified.ovis_text import ATOM, MARKS, segments_of, written
from limner.unified.segments import NOTHING, PADDING, Packed, embed, lay_out

OVIS1 = goldens("ovis1_visual_tokenizer", having="out.features")
OVIS2 = goldens("ovis2_visual_tokenizer", having="out.features")
NATIVE = goldens("ovis25_visual_tokenizer", having="out.features")
LIBRARY = goldens("hf_ovis2_softmax", "hf_ovis2_gumbel", "hf_ovis2_stargmax", having="out.prob_tokens")


def test_no_golden_is_missing() -> None:
    assert OVIS1
    assert OVIS2
    assert NATIVE
    assert len(LIBRARY) >= 3


def read(golden: Golden, sizes: OvisSizes, backbone: Callable[[OvisSizes], Any], phi: Phi | None = None) -> Eyes:
    """The golden's model; its file is told from all others, and its shapes tell its sizes but for the heads."""
    state = golden.state()
    release = recognise(state, golden.path)
    eyes = official_eyes(sizes, backbone, phi)
    assert release.prepare is not None
    fill(eyes, release.prepare(state), release.names, skip=release.skip)
    return eyes.eval()


def sizes(config: dict[str, Any], *, entries: int, indicators: int, words: int, stride: int) -> OvisSizes:
    return OvisSizes(
        size=config["image_size"],
        patch=config["patch_size"],
        width=config["hidden_size"],
        depth=config["num_hidden_layers"],
        heads=config["num_attention_heads"],
        hidden=config["intermediate_size"],
        entries=entries,
        indicators=indicators,
        words=words,
        stride=stride,
    )


def filled(golden: Golden, phi: Phi | None = None) -> Eyes:
    card = golden.card
    config = sizes(
        card["backbone_config"],
        entries=card["visual_vocab"] - card["n_indicators"],
        indicators=card["n_indicators"],
        words=card["llm_hidden"],
        stride=card["hidden_stride"],
    )
    return read(golden, config, clip if "Clip" in card["source"] else siglip, phi)


# Ovis 1 and 2


@pytest.mark.parametrize("golden", OVIS1 + OVIS2)
@torch.no_grad()
def test_features_scores_and_vectors(golden: Golden) -> None:
    eyes = filled(golden)
    merged = eyes.merged(golden["in.pixel_values"])
    agree(merged, golden["out.features"])
    agree(eyes.connector.scores(merged), golden["out.logits"])
    agree(eyes(golden["in.pixel_values"]), golden["out.embeds_softmax"])
    agree(eyes.connector.indicators, golden["out.indicator_embeds"])


@pytest.mark.parametrize("golden", OVIS1 + OVIS2)
@torch.no_grad()
def test_rows_of_the_table_that_slots_are_made_of(golden: Golden) -> None:
    """The authors' code has a one-hot row for each side of the frame, and no indicator inside it."""
    card, connector = golden.card, filled(golden).connector
    tokens = functional.pad(connector.phi(golden["out.logits"]), (0, card["n_indicators"]))
    if connector.framed:
        rows = torch.tensor([card["visual_vocab"] - 2, card["visual_vocab"] - 1]).expand(len(tokens), 2)
        begin, end = functional.one_hot(rows, card["visual_vocab"]).float().split(1, 1)
        tokens = torch.cat([begin, tokens, end], 1)
    agree(tokens, golden["out.tokens_full_softmax"])
    agree(tokens @ connector.table.weight, golden["out.embeds_softmax"])


def phis(golden: Golden) -> dict[str, Phi]:
    """Every recorded way to codes."""
    found: dict[str, Phi] = {"softmax": Softmax(learned=False), "st_argmax": StraightThrough(Unconstrained())}
    for key in golden.under("in.gumbel_noise_tau"):
        found[f"gumbel_tau{key}"] = Gumbel(float(key), float(key), noise=replayed(golden[f"in.gumbel_noise_tau{key}"]))
    return found


def replayed(noise: Tensor) -> Callable[[Tensor], Tensor]:
    return lambda scores: noise.reshape(scores.shape)


@pytest.mark.parametrize("golden", OVIS1 + OVIS2)
def test_codes_and_their_gradients(golden: Golden) -> None:
    recorded = set(golden.under("out.grad_logits_"))
    assert recorded == phis(golden).keys()
    for name, phi in phis(golden).items():
        logits = golden["out.logits"].clone().requires_grad_()
        tokens = phi(logits)
        agree(tokens, golden[f"out.tokens_{name}"])
        (tokens * torch.linspace(-1, 1, tokens.shape[-1])).sum().backward()
        assert logits.grad is not None
        agree(logits.grad, golden[f"out.grad_logits_{name}"])


@pytest.mark.parametrize("golden", OVIS1 + OVIS2)
@torch.no_grad()
def test_vectors_of_hard_codes(golden: Golden) -> None:
    eyes = filled(golden, StraightThrough(Unconstrained()))
    agree(eyes(golden["in.pixel_values"]), golden["out.embeds_stargmax"])


# Texts of Ovis 2


@pytest.mark.parametrize("golden", OVIS2)
def test_a_picture_in_signs(golden: Golden) -> None:
    for grid, signs in golden.card["placeholders"].items():
        assert written(*map(int, grid.split("x"))) == signs


def vectors_of(packed: Packed, words: Tensor, eyes: Eyes) -> Tensor:
    """Input vectors of texts with pictures."""
    special = eyes.connector.indicators[packed.tokens("special")]
    return embed(packed, words.__getitem__, {"seen": packed.tokens("seen"), "special": special})


def in_rows(ids: Tensor, visual: Tensor, atom: int) -> list[list[Tensor]]:
    """Vectors of pictures, one crop each, by the rows of text that hold their placeholders."""
    return [list(part[:, None]) for part in visual.split((ids == atom).sum(1).tolist())]


@pytest.mark.parametrize("golden", OVIS2)
@torch.no_grad()
def test_texts_with_pictures(golden: Golden) -> None:
    """Rows are padded on the right, and mean the same as those that the authors pad on either side."""
    eyes, words = filled(golden), golden["state.wte.weight"]
    rows, kept = [], []
    for index, ids in enumerate(golden["in.merge.input_ids"]):
        merged = eyes.merged(golden[f"in.merge.pixels.{index}"])
        assert torch.equal(eyes.connector.scores(merged).argmax(-1), golden[f"out.merge.argmax_ids.{index}"])
        visual, atoms = eyes.connector.embed(merged), ids == ATOM
        rows.append(segments_of(ids, golden["in.merge.labels"][index], list(visual)))
        mask = golden["in.merge.attention_mask"][index] | atoms
        kept.append(mask.repeat_interleave(torch.where(atoms, visual.shape[1], 1)))
    packed = lay_out(rows)
    x, length = vectors_of(packed, words, eyes), golden.card["multimodal_max_length"]
    for row, mask in enumerate(kept):
        count = len(mask)
        assert int((packed.kinds[row] != PADDING).sum()) == count
        for side, part in (("right", slice(0, min(count, length))), ("left", slice(-min(count, length), None))):
            own = slice(max(count - length, 0), count) if side == "left" else part
            agree(x[row, own], golden[f"out.merge_{side}.inputs_embeds"][row, part])
            assert torch.equal(mask[own], golden[f"out.merge_{side}.attention_mask"][row, part])
            labels = golden[f"out.merge_{side}.labels"][row, part]
            assert torch.equal(packed.targets[row, own][:-1], labels[1:])


def test_a_text_has_as_many_placeholders_as_there_are_crops() -> None:
    ids = torch.tensor([3, MARKS[0], ATOM, ATOM, MARKS[4]])
    words, visual, indicators = torch.randn(5, 2), torch.randn(2, 2), torch.randn(5, 2)
    labels = torch.full_like(ids, NOTHING)
    packed = lay_out([segments_of(ids, labels, list(visual[:, None]))])
    special = indicators[packed.tokens("special")]
    x = embed(packed, words.__getitem__, {"seen": packed.tokens("seen"), "special": special})
    assert torch.equal(x[0], torch.stack([words[3], indicators[0], *visual, indicators[4]]))
    with pytest.raises(InputError, match="2 placeholders of pictures, but vectors of 1"):
        segments_of(ids, labels, [visual[:1]])


# Ovis 2.5


def native(golden: Golden) -> Eyes:
    card = golden.card
    config = card["vit_config"]
    assert (config["num_patches"], config["fullatt_block_indexes"]) == (-1, None)
    marks = card["visual_vocab"] - len(golden["state.visual_tokenizer.head.0.weight"])
    return read(
        golden,
        sizes(
            config,
            entries=card["visual_vocab"] - marks,
            indicators=marks,
            words=card["llm_hidden"],
            stride=config["hidden_stride"],
        ),
        navit,
    )


def pictures(golden: Golden) -> list[Tensor]:
    """The packed patches, which lie in groups that are merged, as pictures."""
    stride, patch = golden.card["vit_config"]["hidden_stride"], golden.card["vit_config"]["patch_size"]
    shapes = [(int(h), int(w)) for t, h, w in golden["in.grid_thws"] for _ in range(t)]
    found = []
    for (rows, columns), packed in zip(
        shapes, golden["in.pixel_values"].split([h * w for h, w in shapes]), strict=True
    ):
        groups = packed.reshape(rows // stride, columns // stride, stride, stride, 3, patch, patch)
        found.append(groups.permute(4, 0, 2, 5, 1, 3, 6).reshape(1, 3, rows * patch, columns * patch))
    return found


@pytest.mark.parametrize("golden", NATIVE)
@torch.no_grad()
def test_pictures_of_any_size(golden: Golden) -> None:
    eyes = native(golden)
    assert isinstance(eyes.encoder, NativeTransformer)
    stride = eyes.connector.stride
    images = pictures(golden)
    seen = [eyes.encoder(image) for image in images]
    for name, states in (
        ("vit_hidden_last", seen),
        ("vit_last_hidden_state_after_post_ln", [one._replace(vectors=eyes.encoder.norm(one.vectors)) for one in seen]),
    ):
        grouped = [neighbours(one, stride).unflatten(2, (stride**2, -1))[0] for one in states]
        agree(torch.cat(grouped).flatten(0, 1), golden[f"out.{name}"])
    merged = torch.cat([eyes.merged(image) for image in images], 1)
    agree(merged[0], golden["out.features"])
    logits = eyes.connector.scores(merged)
    agree(logits[0], golden["out.logits"])
    marks = len(eyes.connector.indicators)
    agree(functional.pad(eyes.connector.phi(logits[0]), (0, marks)), golden["out.tokens"])
    visual = torch.cat([eyes(image) for image in images], 1)[0]
    agree(visual, golden["out.embeds"])
    rows = [
        segments_of(ids, torch.full_like(ids, NOTHING), crops)
        for ids, crops in zip(golden["in.input_ids"], in_rows(golden["in.input_ids"], visual, ATOM), strict=True)
    ]
    agree(vectors_of(lay_out(rows), golden["state.wte.weight"], eyes), golden["out.merged_inputs_embeds"])


@pytest.mark.parametrize("golden", NATIVE)
def test_sizes_of_pictures(golden: Golden) -> None:
    for case, wanted in zip(
        golden["in.smart_resize_cases"].tolist(), golden["out.smart_resize_hw"].tolist(), strict=True
    ):
        height, width, multiple, least, most = case
        assert list(native_size(height, width, multiple=multiple, least=least, most=most)) == wanted


def test_a_picture_of_no_whole_patches_is_refused() -> None:
    encoder = NativeTransformer(size=16, patch=4, width=16, depth=1, heads=2, hidden=16)
    assert encoder(torch.zeros(1, 3, 8, 24)).pooled.shape == (1, 16)
    with pytest.raises(InputError, match="8x10 pixels are no whole patches of 4"):
        encoder(torch.zeros(1, 3, 8, 10))


# Ovis 2 of the library


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "silu": functional.silu,
    "gelu": functional.gelu,
    "gelu_pytorch_tanh": partial(functional.gelu, approximate="tanh"),
    "quick_gelu": quick_gelu,
    "relu": functional.relu,
}


def library(golden: Golden) -> Eyes:
    config = golden.config["vision_config"]
    marks = config["num_visual_indicator_tokens"]
    phi: Phi = Softmax(learned=False)
    if config["tokenize_function"] == "gumbel_argmax":
        phi = Gumbel(1.0, 1.0, noise=replayed(golden["in.gumbel_noise"]))
    elif config["tokenize_function"] == "st_argmax":
        phi = StraightThrough(Softmax(learned=False))
    made = sizes(
        config,
        entries=config["vocab_size"] - marks,
        indicators=marks,
        words=golden["state.model.visual_embeddings_table.weight"].shape[1],
        stride=config["hidden_stride"],
    )
    made = replace(made, qkv_bias=config["qkv_bias"], mlp_bias=config["mlp_bias"])
    tower = partial(aimv2, normalised=True, activation=ACTIVATIONS[config["hidden_act"]], eps=config["rms_norm_eps"])
    eyes = read(golden, made, tower, phi)
    phi.train()  # the library draws in evaluation too
    return eyes


@pytest.mark.parametrize("golden", LIBRARY)
@torch.no_grad()
def test_the_library(golden: Golden) -> None:
    eyes = library(golden)
    merged = eyes.merged(golden["in.pixel_values"])
    agree(merged, golden["out.vision_last_hidden_merged"])
    scores = eyes.connector.scores(merged)
    agree(scores, golden["out.visual_logits_after_norm"])
    agree(eyes.connector.phi(scores), golden["out.prob_tokens"])
    if "out.image_features" in golden.tensors:
        agree(eyes.connector.embed(merged), golden["out.image_features"])
        agree(eyes.connector.indicators, golden["out.visual_indicator_features"])


@pytest.mark.parametrize("golden", [case for case in LIBRARY if "out.loss" in case.values[0].tensors])
@torch.no_grad()
def test_what_the_library_s_language_model_says(golden: Golden) -> None:
    transformers = pytest.importorskip("transformers", reason="pip install 'limner[llm]'")
    eyes, config = library(golden), golden.config
    text = transformers.AutoConfig.for_model(**config["text_config"])
    language = transformers.AutoModelForCausalLM.from_config(text).eval()
    own = golden.under("state.model.language_model.")
    head = golden.tensors.get("state.lm_head.weight", own["embed_tokens.weight"])  # one matrix where they are tied
    language.load_state_dict({**{f"model.{key}": value for key, value in own.items()}, "lm_head.weight": head})
    visual = eyes(golden["in.pixel_values"]).flatten(0, 1)
    atom, marks, texts = config["image_token_id"], config["visual_indicator_token_ids"], golden["in.input_ids"]
    crops = in_rows(texts, visual, atom)
    rows = [
        segments_of(ids, torch.full_like(ids, NOTHING), some, atom=atom, marks=marks)
        for ids, some in zip(texts, crops, strict=True)
    ]
    x = vectors_of(lay_out(rows), own["embed_tokens.weight"], eyes)
    said = language(inputs_embeds=x, attention_mask=golden["in.attention_mask"]).logits
    agree(said, golden["out.logits"])
    agree(
        functional.cross_entropy(said[:, :-1].flatten(0, 1), golden["in.labels"][:, 1:].flatten()), golden["out.loss"]
    )


OTHER = {  # a second case, of whatever version of the library is installed
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "image_size": 24,
    "patch_size": 6,
    "rms_norm_eps": 1e-3,
    "qkv_bias": True,
    "mlp_bias": True,
    "hidden_act": "gelu",
    "vocab_size": 41,
    "num_visual_indicator_tokens": 4,
    "hidden_stride": 2,
}


@torch.no_grad()
def test_the_library_with_other_options() -> None:
    """Biases everywhere, another activation, a language model of another family: the file says most of it."""
    transformers = pytest.importorskip("transformers", reason="pip install 'limner[llm]'")
    text = {"hidden_size": 48, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 4}
    language = transformers.LlamaConfig(**text, vocab_size=50, attention_bias=True, mlp_bias=True)
    vision = transformers.models.ovis2.Ovis2VisionConfig(**OTHER)
    config = transformers.Ovis2Config(vision_config=vision, text_config=language, hidden_size=48)
    torch.manual_seed(0)
    model = transformers.Ovis2ForConditionalGeneration(config).eval()
    for weight in model.parameters():
        weight.normal_(0, 0.2)
    state = model.state_dict()
    release = recognise(state, Path("ovis2"))
    sizes = OvisSizes(
        size=24, patch=6, width=64, depth=3, heads=2, hidden=96, entries=37, words=48, indicators=4, stride=2,
        qkv_bias=True, mlp_bias=True,
    )  # fmt: skip
    tower = partial(aimv2, normalised=True, activation=functional.gelu, eps=1e-3)
    eyes = official_eyes(sizes, tower).eval()
    release.fill(eyes, state)
    image = torch.rand(2, 3, 24, 24) * 2 - 1
    seen = model.model.vision_tower(image)
    codes = seen[1] if len(seen[1].shape) == 3 else seen[0]
    agree(eyes.connector.phi(eyes.connector.scores(eyes.merged(image))), codes)
    agree(eyes(image), functional.pad(codes, (0, 4)) @ state["model.visual_embeddings_table.weight"])


# Files


TINY = OvisSizes(
    size=28, patch=14, width=1024, depth=1, heads=8, hidden=32, entries=11, words=6, indicators=5, stride=2
)


def test_every_release_is_told_from_the_others_and_read(tmp_path: Path) -> None:
    """A config.json beside it tells the heads of the encoder, not of the language model; the library's own file of the
    goldens is written by ours."""
    kinds = [release.kind for release in RELEASES]
    found = []
    for golden in (case.values[0] for case in OVIS1 + OVIS2 + NATIVE + LIBRARY):
        release = recognise(golden.state(), golden.path)
        assert release in RELEASES
        found.append(release.kind)
        card = {key: value for key, value in golden.card.items() if key.endswith("config")}
        seen = card.get("config", {}).get("vision_config") or card.get("backbone_config") or card["vit_config"]
        beside = described(text_config={"num_attention_heads": 1}, **card)
        eyes = release.build(release.prepare({**golden.state(), **beside}))
        assert eyes.encoder.blocks[0].attn.heads == seen["num_attention_heads"]
        assert release.fill(eyes, {**golden.state(), **beside}).loaded
    assert set(kinds) - set(found) == {"Ovis 2 seeing part"}


def under_their_names(eyes: Eyes, release: Release) -> dict[str, Tensor]:
    from limner.store.release import official_name

    return {official_name(name, release.names): value.detach() for name, value in eyes.named_parameters()}


def test_a_file_of_ovis_2_is_read(tmp_path: Path) -> None:
    """AIMv2 as the authors name it, with a language model and the norm that is not read beside it."""
    torch.manual_seed(0)
    release = next(one for one in RELEASES if one.kind == "Ovis 2 seeing part")
    eyes = official_eyes(TINY, aimv2).eval()
    state = under_their_names(eyes, release)
    position = "visual_tokenizer.backbone.preprocessor.pos_embed"
    state[position] = state[position][None].clone()
    extra = {
        "visual_tokenizer.backbone.trunk.post_trunk_norm.weight": torch.ones(1024),
        "llm.model.layers.0.self_attn.q_proj.weight": torch.ones(2, 2),
        "llm.lm_head.weight": torch.ones(2, 2),
    }
    save_file({**state, **extra}, tmp_path / "ovis2.safetensors")
    released = load_released(tmp_path / "ovis2.safetensors")
    assert set(released.report.skipped) == extra.keys()
    assert "visual_tokenizer.backbone.trunk.blocks.0.mlp.fc3.weight" in state
    image = torch.rand(2, 3, 28, 28) * 2 - 1
    with torch.no_grad():
        assert torch.equal(released.model(image), eyes(image))
    assert released.model(image).shape[1] == 1


def test_sizes_are_read_from_a_state(tmp_path: Path) -> None:
    tower = OvisSizes(
        size=14, patch=7, width=1152, depth=1, heads=16, hidden=8, entries=9, words=6, indicators=4, stride=2
    )
    eyes = official_eyes(tower, navit).eval()
    release = next(one for one in RELEASES if one.kind == "Ovis 2.5 seeing part")
    state = {}
    for key, value in under_their_names(eyes, release).items():
        key = key.replace("visual_tokenizer.vit.", "visual_tokenizer.vit.vision_model.")
        if ".qkv." in key:
            parts = zip("qkv", value.chunk(3), strict=True)
            state.update({key.replace("qkv", f"{name}_proj"): part.clone() for name, part in parts})
        else:
            state[key] = value
    assert tower_sizes(release.prepare(state), "visual_tokenizer.vit") == tower
    save_file(state, tmp_path / "ovis25.safetensors")
    model = load_released(tmp_path / "ovis25.safetensors").model
    image = torch.rand(1, 3, 14, 28)
    with torch.no_grad():
        assert torch.equal(model(image), eyes(image))
        assert model(image).shape == (1, 2, 6)


def test_published_sizes() -> None:
    with torch.device("meta"):
        first = official_eyes(OVIS_1_8B, clip)
        second = official_eyes(OVIS_2_1B, aimv2)
    assert [len(eyes.encoder.position) for eyes in (first, second)] == [576 + 1, 256 * 2**2]
    towers = [sum(p.numel() for p in eyes.encoder.parameters()) / 1e6 for eyes in (first, second)]
    assert towers == [pytest.approx(303.5, rel=0.01), pytest.approx(309, rel=0.01)]
