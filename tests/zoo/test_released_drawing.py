"""Generators as their authors released them, with their tokenizers: one line to load, one to draw."""

from __future__ import annotations

import json
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL.Image import Image
from torch import Tensor, nn

import limner
from limner.errors import InputError
from limner.models.class_to_image import ClassToImage
from limner.store.official import acdit, llamagen, mar, maskgit, maskgit_vqgan, nar, rar, titok, var, xar
from limner.store.release import Names, official_name
from limner.tokenizers.kl import KlAutoencoder
from limner.tokenizers.oned import Vit

State = dict[str, Tensor]
CLASSES = 10


def named(model: nn.Module, names: Names) -> State:
    """What a model's weights are called in a prepared state, all of them heard."""
    torch.manual_seed(0)
    own = {name: value for name, value in model.state_dict().items() if "codebook" in name}
    own |= {name: 0.1 * torch.randn_like(value) for name, value in model.named_parameters()}
    return {official_name(name, names): value for name, value in own.items()}


def joined(state: State, parts: tuple[str, ...], whole: str, dim: int = 0) -> State:
    rest = {key: value for key, value in state.items() if key not in parts}
    return {**rest, whole: torch.cat([state[part] for part in parts], dim)}


def var_states() -> tuple[State, State]:
    generator = named(
        var.official_generator(var.VarSizes(width=16, depth=1, heads=2, classes=CLASSES, entries=16, channels=4)),
        var.GENERATOR_NAMES,
    )
    generator = joined(generator, ("class_emb.classes", "class_emb.nothing"), "class_emb.weight")
    counts = torch.tensor([side**2 for side in var.SIDES_256])
    generator["lvl_1L"] = torch.arange(len(counts)).repeat_interleave(counts)[None]
    sizes = var.VarTokenizerSizes(entries=16, channels=4, width=32, multipliers=(1,))
    tokenizer = named(var.official_tokenizer(sizes), var.TOKENIZER_NAMES)
    for name in [key for key in tokenizer if ".q." in key]:
        parts = tuple(name.replace(".q.", f".{part}.") for part in "qkv")
        tokenizer = joined(tokenizer, parts, name.replace(".q.", ".qkv."))
    return generator, {**tokenizer, "quantize.ema_vocab_hit_SV": torch.zeros(len(var.SIDES_256), 16)}


LLAMAGEN = {"width": 768, "depth": 1, "heads": 12, "hidden": 8, "entries": 16, "classes": CLASSES, "side": 3}


def vq() -> State:
    sizes = llamagen.LlamaGenTokenizerSizes(multipliers=(1, 1), width=32, hidden=8, entries=16, channels=4, size=6)
    return llamagen.counted_from_finest(named(llamagen.official_tokenizer(sizes), llamagen.TOKENIZER_NAMES))


def llamagen_states() -> tuple[State, State]:
    made = named(llamagen.official_generator(llamagen.LlamaGenSizes(**LLAMAGEN)), llamagen.GENERATOR_NAMES)
    table = "cls_embedding.embedding_table.weight"
    return joined(made, ("cls_embedding.classes", "cls_embedding.nothing"), table), vq()


def nar_states() -> tuple[State, State]:
    made = named(nar.official_generator(nar.LlamaGenSizes(**LLAMAGEN)), nar.GENERATOR_NAMES)
    table = "cls_embedding.embedding_table.weight"
    made = joined(made, ("cls_embedding.classes", "cls_embedding.nothing"), table)
    made["output.weight"], made["medusa_output.weight"] = made.pop("outputs").chunk(2, dim=1)
    return made, vq()


def rar_states() -> tuple[State, State]:
    sizes = rar.RarSizes(width=32, depth=1, heads=2, hidden=16, count=9, entries=16, classes=CLASSES)
    made = named(rar.official_generator(sizes), rar.GENERATOR_NAMES)
    made["mask"], spare = torch.zeros(1, 32), torch.zeros(1, rar.SPARE_POSITIONS - 2, 32)
    tables = ("embeddings.codes", "mask", "embeddings.classes", "embeddings.nothing")
    made = joined(made, tables, "embeddings.weight")
    made["spare"], made["first"], made["late"] = spare, torch.zeros(1, 2, 32), torch.zeros(1, 99, 32)
    made = joined({**made}, ("pos_embed.prefix", "pos_embed.tokens", "spare"), "pos_embed", 1)
    made["spare"] = spare
    made = {**made, "tokens": made.pop("target_aware_pos_embed"), "times": made.pop("timesteps_embeddings")}
    made = joined(made, ("first", "tokens", "spare"), "target_aware_pos_embed", 1)
    made = joined(made, ("times", "late"), "timesteps_embeddings", 1)
    vqgan = maskgit_vqgan.MaskgitVqganSizes(size=6, width=32, multipliers=(1, 1), depth=1, channels=4, entries=16)
    return made, named(maskgit_vqgan.official_tokenizer(vqgan), maskgit_vqgan.NAMES)


def kl(channels: int = 3) -> State:
    return named(KlAutoencoder(size=8, width=32, multipliers=(1, 1), channels=channels), mar.TOKENIZER_NAMES)


def mar_states() -> tuple[State, State]:
    sizes = mar.MarSizes(
        width=768,
        encoder_depth=1,
        decoder_depth=1,
        heads=12,
        head_width=16,
        head_depth=1,
        count=4,
        channels=3,
        classes=CLASSES,
        prefix=2,
    )
    return named(mar.official_generator(sizes), mar.GENERATOR_NAMES), kl()


def scaled(state: State) -> State:
    """With norms that scale by about one: after a tenth of that their bias is nearly all there is."""
    norm = re.compile(r"(\.ln_\w+|[Nn]orm\d?)\.weight$")
    return {key: value + 1.0 if norm.search(key) else value for key, value in state.items()}


def titok_state() -> State:
    vit = Vit(512, 1, 8, patch=4)
    proxy = maskgit_vqgan.MaskgitVqganSizes(size=8, width=32, multipliers=(1, 1, 1), depth=1, channels=4, entries=16)
    sizes = titok.TiTokSizes(
        encoder=vit,
        decoder=vit,
        count=9,
        channels=4,
        entries=16,
        proxy=proxy,
        scrambled=True,
        normalized=True,
        size=8,
    )
    made = named(titok.official_tokenizer(sizes), titok.NAMES)
    return scaled(made)


MASKGIT: dict[str, Any] = {"width": 768, "depth": 2, "hidden": 16, "count": 9, "entries": 16, "classes": CLASSES}


def maskgit_named(names: Names, **own: bool) -> State:
    """With logits that outweigh the noise of their temperature, 9.5, so that classes are heard."""
    made = named(maskgit.official_generator(maskgit.MaskGitSizes(**MASKGIT, **own)), names)
    made = {key: 5.0 * value if key.endswith("lm_head.weight") else value for key, value in scaled(made).items()}
    return {**made, "mask": made["mask"][0]}


def maskgit_states() -> tuple[State, State]:
    made = maskgit_named(maskgit.BERT_NAMES)
    made = joined(made, ("codes", "mask", "classes", "no_class"), maskgit.BERT_TABLE)
    position, kind = maskgit.BERT_POSITIONS
    made[kind] = torch.randn(2, 768)
    made[position] = made.pop("model.embeddings.position")[0] - made[kind][0]
    for key in [key for key in made if ".self.qkv." in key]:
        for part, value in zip(("query", "key", "value"), made.pop(key).chunk(3), strict=True):
            made[key.replace(".qkv.", f".{part}.")] = value
    return made, titok_state()


def maskgit_uvit_states() -> tuple[State, State]:
    made = maskgit_named(maskgit.UVIT_NAMES, long_skips=True)
    return joined(made, ("codes", "mask", "classes", "no_class"), "embeddings.weight"), titok_state()


def xar_states() -> tuple[State, State]:
    """Modulations and positions lie otherwise in the authors' files; as all are random here, no one can tell."""
    sizes = xar.XarSizes(
        width=768, encoder_depth=1, decoder_depth=1, heads=12, grid=4, cell=2, channels=3, classes=CLASSES
    )
    made = named(xar.official_generator(sizes), xar.NAMES)
    made = joined(made, ("class_emb.weight", "class_emb.nothing"), "class_emb.weight")
    return {**made, "encoder_blocks.0.attn.rope.freqs": torch.zeros(16), "mask": torch.zeros(16, 16)}, kl()


def acdit_states() -> tuple[State, State]:
    made = named(acdit.official_generator(acdit.AcditSizes(width=32, depth=1, heads=2)), acdit.NAMES)
    return joined(made, (acdit.TABLE, f"{acdit.TABLE}.nothing"), acdit.TABLE), kl(channels=4)


MADE: dict[str, Callable[[], tuple[State, State]]] = {
    "var": var_states,
    "llamagen": llamagen_states,
    "nar": nar_states,
    "rar": rar_states,
    "mar": mar_states,
    "maskgit": maskgit_states,
    "maskgit-uvit": maskgit_uvit_states,
    "xar": xar_states,
    "acdit": acdit_states,
}
TOLD = {"llamagen": {"side": 3}, "nar": {"side": 3}}  # what weights do not tell
SHORT: dict[str, dict[str, Any]] = {
    "mar": {"steps": 4, "head_steps": 3},
    "maskgit-uvit": {"steps": 8},
    "xar": {"head_steps": 3},
    "acdit": {"head_steps": 2},
}
PIXELS = {
    "var": 16,
    "llamagen": 6,
    "nar": 6,
    "rar": 6,
    "mar": 4,
    "maskgit": 8,
    "maskgit-uvit": 8,
    "xar": 8,
    "acdit": 64,
}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Path, Path]]:
    """Paths of the generator and of the tokenizer of a system, written once."""
    folder = tmp_path_factory.mktemp("official")

    def paths(system: str) -> tuple[Path, Path]:
        places = folder / f"{system}.pth", folder / f"{system}-tokenizer.pth"
        if not places[0].exists():
            for state, place in zip(MADE[system](), places, strict=True):
                torch.save(state, place)
        return places

    return paths


ROUNDED = {"xar": 1}  # kernels of one row and of many round otherwise on some processors


def apart(one: Image, other: Image) -> int:
    """The largest difference of a pixel, of 255."""
    return int(np.abs(np.asarray(one, dtype=int) - np.asarray(other, dtype=int)).max())


@pytest.mark.parametrize("system", MADE)
def test_a_released_generator_draws_with_its_tokenizer(files: Any, system: str, tmp_path: Path) -> None:
    generator, tokenizer = files(system)
    model = limner.load(generator, tokenizer=tokenizer, **TOLD.get(system, {}))
    assert isinstance(model, ClassToImage)
    assert model.classes == (acdit.AcditSizes.classes if system == "acdit" else CLASSES)
    pictures = model.draw(classes=[7, 3], n=2, seed=1, **SHORT.get(system, {}))
    assert [picture.size for picture in pictures] == [(PIXELS[system],) * 2] * 4
    alone = model.draw(3, n=1, seed=1, **SHORT.get(system, {}))
    assert apart(alone[0], pictures[2]) <= ROUNDED.get(system, 0)
    assert len({picture.tobytes() for picture in pictures}) == 4
    again = limner.load(limner.save(pickle.loads(pickle.dumps(model)), tmp_path / "mine"))
    assert again.draw(3, n=1, seed=1, **SHORT.get(system, {})) == alone


def test_a_converted_generator_carries_its_tokenizer(files: Any, tmp_path: Path, command_line: Any) -> None:
    generator, tokenizer = files("llamagen")
    told = ["--side", 3, "--tokenizer", tokenizer]
    assert command_line("convert", generator, tmp_path / "model", *told).code == 0
    card = json.loads((tmp_path / "model" / "recipe.json").read_text())
    assert card["release"] == {"system": "llamagen", "kind": "generator", "side": 3}
    model, (wanted,) = limner.load(tmp_path / "model"), limner.load(generator, side=3, tokenizer=tokenizer).draw(4)
    assert model.draw(4) == [wanted]
    drawn = command_line("draw", "--classes", 4, "--model", tmp_path / "model", "-o", tmp_path / "converted.png")
    assert drawn.code == 0, drawn.err
    told = ["--model", generator, "--tokenizer", tokenizer, "--side", 3]
    drawn = command_line("draw", *told, "--classes", 4, "-o", tmp_path / "official.png", "--json")
    assert (drawn.code, json.loads(drawn.out)["classes"]) == (0, [4])
    assert (tmp_path / "converted.png").read_bytes() == (tmp_path / "official.png").read_bytes()


def test_classes_come_as_a_page(files: Any, tmp_path: Path, command_line: Any) -> None:
    generator, tokenizer = files("mar")
    told = ["draw", "--model", generator, "--tokenizer", tokenizer, "--classes", 4, 0, "--steps", 2, "--head-steps", 2]
    outcome = command_line(*told, "-n", 2, "--show-steps", "--solver", "ddim", "-o", tmp_path / "page.png")
    assert outcome.code == 0, outcome.err
    assert {file.name for file in tmp_path.iterdir()} == {"page.png", "page-steps.png", "page-steps.gif"}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--classes", "1"], "mar-emoji-64 draws prompts"),
        (["--model", "GENERATOR", "--classes", "1"], "needs its tokenizer to draw: add --tokenizer"),
        (["--model", "GENERATOR", "--tokenizer", "TOKENIZER"], "nothing to draw"),
        (["--model", "GENERATOR", "--tokenizer", "TOKENIZER", "a cat"], "draws classes, not prompts: add --classes"),
        (["--model", "GENERATOR", "--tokenizer", "TOKENIZER", "--classes", "10"], "no class 10: give numbers from 0"),
        (["a cat", "--classes", "1"], "a prompt or --classes, not both"),
        (["a cat", "--side", "3"], "mar-emoji-64 knows its own tokenizer and grid"),
    ],
)
def test_what_draw_refuses_of_classes(
    files: Any, shipped: Any, command_line: Any, arguments: list[str], sentence: str
) -> None:
    shipped("generators/mar")  # with its tokenizer: other tests may have made a tiny one of that name
    generator, tokenizer = files("mar")
    places = {"GENERATOR": generator, "TOKENIZER": tokenizer}
    outcome = command_line("draw", *[places.get(argument, argument) for argument in arguments])
    assert outcome.code == 2
    assert sentence in outcome.err


@pytest.mark.parametrize(
    ("system", "others", "told", "sentence"),
    [
        ("rar", "llamagen", {}, "is the tokenizer of llamagen, but a rar draws with that of maskgit-vqgan"),
        ("var", "mar", {}, "is the tokenizer of mar, but a var draws with that of var"),
        (
            "acdit",
            "maskgit",
            {},
            "the weights of a titok tokenizer tell how large it is: .* give the tokenizer that belongs",
        ),
        ("maskgit", "rar", {}, "is the tokenizer of maskgit-vqgan, but a titok draws with that of titok"),
        ("mar", "mar", {"side": 2}, "the weights of a mar generator tell how large it is"),
        ("llamagen", "llamagen", {"side": 0}, "0 tokens on a side cannot be"),
    ],
)
def test_what_does_not_belong_together_is_refused(
    files: Any, system: str, others: str, told: dict[str, int], sentence: str
) -> None:
    with pytest.raises(InputError, match=sentence):
        limner.load(files(system)[0], tokenizer=files(others)[1], **told)


def test_a_tokenizer_has_none(files: Any) -> None:
    generator, tokenizer = files("mar")
    with pytest.raises(InputError, match="a mar tokenizer draws nothing"):
        limner.load(tokenizer, tokenizer=tokenizer)
    with pytest.raises(InputError, match="is no tokenizer: a mar draws with that of mar"):
        limner.load(generator, tokenizer=limner.load(generator))


def test_a_tokenizer_at_hand_is_taken(files: Any) -> None:
    generator, tokenizer = files("mar")
    own = limner.load(tokenizer, side=2)
    assert limner.load(generator, tokenizer=own).tokenizer is own
    with pytest.raises(InputError, match="256 tokens, but the generator draws 4"):
        limner.load(generator, tokenizer=limner.load(tokenizer))


def test_a_rotary_table_tells_the_grid(files: Any, tmp_path: Path) -> None:
    state = torch.load(files("llamagen")[0])
    torch.save({**state, "freqs_cis": torch.zeros(1 + 5**2, 32, 2)}, tmp_path / "told.pth")
    assert limner.load(tmp_path / "told.pth").count == 25
    assert limner.load(limner.save(limner.load(tmp_path / "told.pth"), tmp_path / "mine")).count == 25
    assert limner.load(files("llamagen")[0]).count == 256
