"""Pictures that are no squares, and clips: trained on through the one loop, saved, loaded, tokenized and drawn."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor

import limner
from limner.cli import main
from limner.data.scenes.video import Clips
from limner.decode.decoder import Decoder
from limner.errors import InputError
from limner.generators.backbones.blockwise import BlockwiseTransformer
from limner.generators.conditions import ClassCondition
from limner.generators.generator import Generator
from limner.generators.heads.trunk import Diffusion, TrunkHead
from limner.generators.orders import Cells
from limner.languages.subwords import Subwords
from limner.models.class_to_image import ClassToImage
from limner.nn.pixels import to_tensor
from limner.store.folder import find_recipe, save
from limner.tokenizers.autoencoder import Autoencoder
from limner.tokenizers.frames import FramewiseTokenizer
from limner.tokenizers.quantizers.continuous import Gaussian
from limner.train import loop
from limner.train.settings import Settings
from limner.train.task import Loss, Task
from limner.types import Rng

pytestmark = pytest.mark.timeout(300)

SIZE, GRID = (96, 64), (12, 8)
SHORT = {"images": 16, "batch": 8, "warmup": 8, "ema": 8, "sample_every": 10**6, "checkpoint_every": 10**6}
CONVOLUTIONS = {"widths": (8, 8, 8), "encoder_depths": (1, 1, 1), "decoder_depths": (1, 1, 1), "channels": 4}
TOKENIZERS: dict[str, dict[str, Any]] = {
    "ae": CONVOLUTIONS,
    "vae": CONVOLUTIONS,
    "vq_vae": {**CONVOLUTIONS, "entries": 32},
    "multiscale": {**CONVOLUTIONS, "entries": 32, "sides": (1, 3, 12)},
    "titok": {"width": 64, "encoder_depth": 1, "decoder_depth": 1, "count": 6, "entries": 32, "channels": 4},
}
CAPTIONED = {"width": 64, "text_depth": 1, "text_length": 48, "vocabulary": 512, "scenes": 8}
GENERATORS: dict[str, tuple[str, dict[str, Any]]] = {
    "acdit": ("vae", {"depth": 1, "block": 4, "head_steps": 3}),
    "llamagen": ("vq_vae", {"depth": 1}),
    "mar": ("vae", {"encoder_depth": 1, "decoder_depth": 1, "head_width": 16, "head_depth": 1}),
    "maskgit": ("vq_vae", {"depth": 1}),
    "nar": ("vq_vae", {"depth": 1}),
    "rar": ("vq_vae", {"depth": 1}),
    "var": ("multiscale", {"depth": 1}),
    "xar": ("vae", {"encoder_depth": 1, "decoder_depth": 1, "cell": 4, "head_steps": 3}),
}


@pytest.fixture(scope="module")
def tall(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a tokenizer of 96x64 pixels after two steps."""
    kept: dict[str, Path] = {}

    def folder(name: str) -> Path:
        if name not in kept:
            kept[name] = trained_by(f"tokenizers/{name}", tmp_path_factory.mktemp(name), size=SIZE, **TOKENIZERS[name])
        return kept[name]

    return folder


def trained_by(path: str, directory: Path, **own: Any) -> Path:
    """The folder of a saved model after two steps."""
    recipe = find_recipe(path)
    knobs = recipe.knobs(**SHORT, **own, out=directory, threads=1)
    run = loop.train(recipe.task(knobs), knobs, directory, bar=False)
    return save(run.average.model, directory / "model", recipe=path, knobs=knobs, facts={"images": run.images})


@pytest.mark.parametrize("name", TOKENIZERS)
def test_a_tokenizer_of_tall_pictures(tall: Callable[[str], Path], name: str) -> None:
    model = limner.load(tall(name))
    grids = {"multiscale": ((1, 1), (3, 2), GRID), "titok": ((6,),)}
    assert (model.size, model.layout.grids) == (SIZE, grids.get(name, (GRID,)))
    assert json.loads((tall(name) / "recipe.json").read_text())["knobs"]["size"] == list(SIZE)
    with Image.open(tall(name).parent / "samples" / "images-000000000016.png") as page:
        assert len(page.getcolors(1 << 20)) > 16
    image = torch.rand(2, 3, *SIZE) * 2 - 1
    tokens = model.encode(image)
    assert tokens.shape[:2] == (2, model.layout.length)
    assert model.decode(tokens).shape == image.shape


def test_limner_tokens_of_a_tall_picture(tall: Callable[[str], Path], tmp_path: Path, capsys: Any) -> None:
    Image.effect_noise((90, 50), 60).convert("RGB").save(tmp_path / "noise.png")
    page = tmp_path / "page.png"
    main(["tokens", str(tmp_path / "noise.png"), "--model", str(tall("vq_vae")), "-o", str(page), "--json"])
    (report,) = json.loads(capsys.readouterr().out)["pictures"]
    assert (len(report["ids"]), len(report["ids"][0])) == GRID
    assert page.is_file()


@pytest.mark.parametrize("name", GENERATORS)
def test_a_generator_draws_tall_pictures(tall: Callable[[str], Path], name: str) -> None:
    """Before training: what is tested is that grids of any shape pass through orders and backbones."""
    tokenizer, own = GENERATORS[name]
    recipe = find_recipe(f"generators/{name}")
    torch.manual_seed(0)
    model = recipe.build(recipe.knobs(**CAPTIONED, **own, tokenizer=str(tall(tokenizer)))).eval()
    model.subwords = Subwords.trained(["a red heart", "a blue star"], size=512, length=48)
    sizes: set[tuple[int, int]] = set()
    drawn = model.draw("a red heart", watch=lambda step, total, pictures: sizes.update(p.size for p in pictures))
    assert drawn[0].size == (64, 96)  # width first, as Pillow has it
    assert sizes == {(64, 96)}


def test_a_generator_learns_tall_pictures(tall: Callable[[str], Path], tmp_path: Path) -> None:
    folder = trained_by("generators/mar", tmp_path, **CAPTIONED, **GENERATORS["mar"][1], tokenizer=str(tall("vae")))
    model = limner.load(folder)
    assert model.tokenizer.size == SIZE
    first, second = model.draw("airplane", n=2, seed=3)
    assert first.size == second.size == (64, 96)
    assert model.draw("airplane", n=1, seed=3)[0].size == (64, 96)


def test_a_grid_that_blocks_do_not_divide_is_refused(tall: Callable[[str], Path]) -> None:
    recipe = find_recipe("generators/acdit")
    with pytest.raises(InputError, match="--block 3 does not divide the 12x8 latents"):
        recipe.build(recipe.knobs(**CAPTIONED, depth=1, block=3, tokenizer=str(tall("vae"))))
    recipe = find_recipe("generators/nar")
    with pytest.raises(InputError, match=r"lie as 1x1, 3x2, 12x8, but this generator draws one grid"):
        recipe.build(recipe.knobs(**CAPTIONED, depth=1, tokenizer=str(tall("multiscale"))))


# Nested lines


def test_some_of_nested_tokens_make_a_picture(trained: Any, command_line: Any, album: Path, tmp_path: Path) -> None:
    model = limner.load(trained("tokenizers/flextok").name)
    tokens = model.encode(torch.rand(2, 3, 32, 32) * 2 - 1)
    assert tokens.shape == (2, 6)
    assert model.decode(tokens[:, :2]).shape == (2, 3, 32, 32)
    page = tmp_path / "page.png"
    outcome = command_line("tokens", album / "1.png", "--model", "flextok-64", "-o", page, "--json")
    (report,) = json.loads(outcome.out)["pictures"]
    assert list(report["prefixes"]) == ["1", "2", "4"]
    with Image.open(page) as opened:
        assert opened.width == 6 * 192 + 7 * 12  # original, of 1, 2, 4 and all tokens, map


def test_a_line_of_8_of_32_nested_tokens(trained: Any) -> None:
    trained("tokenizers/vae")
    recipe = find_recipe("tokenizers/flextok")
    torch.manual_seed(0)
    model = recipe.build(recipe.knobs(**{**recipe.tiny, "count": 32})).eval()
    with torch.no_grad():
        tokens = model.encode(torch.rand(2, 3, 32, 32) * 2 - 1)
        assert tokens.shape == (2, 32)
        assert model.decode(tokens[:, :8], Rng([1, 2]), steps=2).shape == (2, 3, 32, 32)


def test_what_is_drawn_of_nested_tokens_grows_out_of_the_first(trained: Any) -> None:
    trained("tokenizers/flextok")
    recipe = find_recipe("generators/raster")
    knobs = recipe.knobs(**CAPTIONED, depth=1, tokenizer="flextok-64")
    torch.manual_seed(0)
    model = recipe.build(knobs).eval()
    model.subwords = Subwords.trained(["a red heart", "a blue star"], size=512, length=48)
    seen: list[bytes] = []
    final = model.draw("a red heart", seed=4, watch=lambda step, total, pictures: seen.append(pictures[0].tobytes()))
    assert len(seen) == 6
    assert seen[-1] == final[0].tobytes()
    assert model.draw("a red heart", seed=4)[0].tobytes() == final[0].tobytes()
    tokens, known = torch.arange(6)[None], torch.tensor([[True, True, False, True, False, False]])
    with torch.no_grad():
        assert torch.equal(model.sketch(tokens, known), model.decode(tokens[:, :2]))


# Learning another tokenizer's codes


def test_a_line_of_tokens_learns_codes_and_then_pixels(trained: Any, tmp_path: Path) -> None:
    """TiTok's two stages, by its recipe."""
    trained("tokenizers/vq_vae")
    recipe = find_recipe("tokenizers/titok")
    own = {**recipe.tiny, "proxy": "vq-vae-64"}
    first = trained_by("tokenizers/titok", tmp_path / "codes", **own)
    log = [json.loads(line) for line in (tmp_path / "codes" / "log.jsonl").read_text().splitlines()]
    assert any("named" in line and "proxy" in line for line in log)
    second = trained_by("tokenizers/titok", tmp_path / "pixels", **own, finetune=str(first))
    before, after = (dict(limner.load(folder).named_parameters()) for folder in (first, second))
    moved = {name.split(".")[0] for name, value in after.items() if not torch.equal(value, before[name])}
    assert moved == {"decoder"}
    with pytest.raises(InputError, match="vae-64 has no code for each cell of 8x8 pixels"):
        recipe.build(recipe.knobs(**{**own, "proxy": "vae-64"}))


# Clips

FRAMES, SIDE = 4, 16


def clip_task(model: ClassToImage) -> Task[ClassToImage, tuple[Tensor, Tensor]]:
    """Trains a generator on clips, whose class is the number of things that move."""
    videos = Clips(0, size=SIDE, frames=FRAMES)

    def batch(start: int, size: int) -> tuple[Tensor, Tensor]:
        clips = [videos[k] for k in range(start, start + size)]
        frames = torch.stack([to_tensor(list(clip.frames)) for clip in clips]).movedim(2, 1)
        return frames, torch.tensor([len(clip.actions) - 1 for clip in clips])

    def loss(model: ClassToImage, batch: tuple[Tensor, Tensor], rng: Rng) -> Loss:
        return model.generator.loss(model.tokenizer.encode(batch[0], rng), batch[1], rng), {}

    return Task(model, batch, loss)


def clip_generator() -> ClassToImage:
    """One frame after the other, each denoised among the clean frames before it."""
    torch.manual_seed(0)
    frame = Autoencoder(Gaussian(3, 1e-4), size=SIDE, widths=(8, 8), encoder_depths=(1, 1), decoder_depths=(1, 1))
    tokenizer = FramewiseTokenizer(frame, FRAMES)
    (grid,) = tokenizer.layout.grids
    generator = Generator(
        layout=tokenizer.layout,
        order=Cells((1, 4, 4)),
        backbone=BlockwiseTransformer(axes=grid, split=(2, 3, 3), width=64, depth=1, heads=2),
        head=TrunkHead(3, 64, Diffusion(3), bias=False),
        condition=ClassCondition(2, 64, 1),
    )
    return ClassToImage(generator, tokenizer, decoder=Decoder)


def test_a_clip_is_tokenized_frame_by_frame() -> None:
    tokenizer = clip_generator().tokenizer
    assert isinstance(tokenizer, FramewiseTokenizer)
    assert tokenizer.layout.grids == ((FRAMES, 4, 4),)
    clip = torch.rand(2, 3, FRAMES, SIDE, SIDE) * 2 - 1
    with torch.no_grad():
        tokens = tokenizer.encode(clip)
        assert tokens.shape == (2, FRAMES * 16, 3)
        assert torch.equal(tokens[:, 16:32], tokenizer.base.encode(clip[:, :, 1]))
        again = tokenizer.decode(tokens)
        assert again.shape == clip.shape
        torch.testing.assert_close(again[:, :, 3], tokenizer.base.decode(tokens[:, 48:]))
    with pytest.raises(InputError, match="clips of 4 frames"):
        tokenizer.encode(clip[:, :, :3])
    with pytest.raises(InputError, match="48 tokens given, but a clip has 64"):
        tokenizer.decode(tokens[:, :48])


def test_a_generator_learns_and_draws_clips(tmp_path: Path) -> None:
    model = clip_generator()
    before = {name: weight.clone() for name, weight in model.named_parameters()}
    run = loop.train(clip_task(model), Settings(**SHORT, muon=1e-3), tmp_path, bar=False)
    assert (run.images, run.steps) == (16, 2)
    moved = [name for name, weight in model.named_parameters() if not torch.equal(weight, before[name])]
    assert len(moved) > len(before) / 4
    model.eval()
    seen: list[tuple[int, int]] = []
    strips = model.draw([0, 1], seed=2, watch=lambda step, total, pictures: seen.append((step, total)))
    assert [strip.size for strip in strips] == [(FRAMES * SIDE, SIDE)] * 2  # frames side by side
    assert seen == [(step, FRAMES) for step in range(1, FRAMES + 1)]
