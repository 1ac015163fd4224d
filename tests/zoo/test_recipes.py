"""Every recipe, at tiny knobs: builds, trains, previews, validates, is saved, is loaded, and does what it is for."""

from __future__ import annotations

import copy
import json
import math
import pickle
from dataclasses import replace

import pytest
import torch
from PIL import Image

from limner.catalogue.recipes import find_recipes

pytestmark = pytest.mark.timeout(300)  # the first test of a session trains what it needs

RECIPES = tuple(entry.path for entry in find_recipes() if entry.trains)
JUDGES = ("encoders/features", "encoders/recogniser")
TAUGHT = tuple(path for path in RECIPES if path.startswith("encoders/") and path not in JUDGES)
UNDERSTANDING = tuple(path for path in RECIPES if path.startswith("understanding/"))
TOKENIZERS = tuple(path for path in RECIPES if path.startswith("tokenizers/"))
BOTH = tuple(path for path in RECIPES if path.startswith("unified/"))
DRAWERS = tuple(path for path in RECIPES if path.startswith("generators/"))


def halved(model):
    """The model with its parameters rounded as a saved one's are."""
    model = copy.deepcopy(model)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(parameter.to(torch.bfloat16))
    return model.eval()


def pictures(count: int, side: int = 32):
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(1)) * 2 - 1


def outputs(path: str, model) -> torch.Tensor:
    """Something that every weight of a model takes part in."""
    if path == "encoders/features":
        return model.pooled(pictures(2))
    if path == "encoders/recogniser":
        maps, names = model(pictures(2, 64))
        return torch.cat([*(part.flatten(1) for part in maps.values()), names], 1)
    if path in TAUGHT:
        return torch.cat([model.encode_image(pictures(2, 16)), model.encode_text(["a red heart", "airplane"])], 1)
    if path in TOKENIZERS:
        tokens = model.encode(pictures(2))
        return torch.cat([tokens.flatten(1).float(), model.decode(tokens).flatten(1)], 1)
    if path in UNDERSTANDING:
        return seen(model)
    if path in BOTH:
        return torch.cat([part.flatten() for part in (seen(model.vision_language), drawn(model))])
    return drawn(model)


def drawn(model) -> torch.Tensor:
    return model.images(["a red heart", "airplane"], [3, 4])


def seen(model) -> torch.Tensor:
    """Last hidden states of a picture and a question."""
    from limner.data.conversations import Turn
    from limner.unified.conversation import pack

    packed = pack([[Turn("What colour is the star?", "red")]], model.vocabulary, model.image_tokens)
    return model.language.logits(model.hidden(packed, model.vectors(pictures(1, model.encoder.size))))


@pytest.mark.parametrize("path", RECIPES)
def test_it_trains(trained, path):
    from limner.train.task import Task

    zoo = trained(path)
    assert isinstance(zoo.run.task, Task)
    assert (zoo.run.images, zoo.run.steps) == (16, 2)
    torch.manual_seed(0)
    before = dict(zoo.recipe.build(zoo.knobs).named_parameters())
    after = dict(zoo.run.task.model.named_parameters())
    moved = [name for name, weight in after.items() if name in before and not torch.equal(weight, before[name])]
    assert len(moved) > len(after) / 4  # much starts at zero
    log = [json.loads(line) for line in (zoo.directory / "log.jsonl").read_text().splitlines()]
    assert all(math.isfinite(value) for line in log for value in line.values())
    assert [line["images"] for line in log if "loss" in line] == [16]
    page, preview = zoo.directory / "samples" / "images-000000000016.png", zoo.run.task.preview
    assert page.is_file() == (preview is not None and preview(zoo.run.average.model) is not None)
    if page.is_file():
        with Image.open(page) as opened:
            assert len(opened.getcolors(1 << 20)) > 16


@pytest.mark.parametrize("path", [path for path in RECIPES if path not in DRAWERS])
def test_it_is_validated(trained, path):
    zoo = trained(path)
    scores = {}
    for line in (zoo.directory / "log.jsonl").read_text().splitlines():
        scores |= json.loads(line)
    expected = {"psnr/emoji", "psnr/scenes"} if path in TOKENIZERS else {"accuracy/name"}
    expected = {"qa/overall", "blind/overall"} if path in UNDERSTANDING + BOTH else expected
    expected = {"zero_shot/pair", "retrieval/scenes/image_to_text@1"} if path in TAUGHT else expected
    assert expected <= scores.keys()


@pytest.mark.parametrize("path", RECIPES)
def test_a_saved_model_is_the_trained_one(trained, path):
    import limner

    zoo = trained(path)
    model = limner.load(zoo.name)
    assert not model.training
    assert not any(weight.requires_grad for weight in model.parameters())
    assert {weight.dtype for weight in model.parameters()} == {torch.float32}
    again = limner.load(zoo.name).state_dict()
    assert all(torch.equal(value, again[key]) for key, value in model.state_dict().items())
    fresh = zoo.recipe.build(zoo.knobs).eval()
    if path in DRAWERS + TAUGHT:
        fresh.subwords = model.subwords
    if path in UNDERSTANDING:
        fresh.vocabulary = model.vocabulary
    if path in BOTH:
        fresh.subwords.vocabulary = model.subwords.vocabulary
    with torch.no_grad():
        assert torch.equal(outputs(path, model), outputs(path, halved(zoo.run.average.model)))
        assert not torch.equal(outputs(path, model), outputs(path, fresh))
    card = json.loads((zoo.folder / "recipe.json").read_text())
    assert (card["recipe"], card["images"], card["knobs"]["batch"]) == (path, 16, 8)
    assert not {"out", "device", "threads", "minutes"} & card["knobs"].keys()


@pytest.mark.parametrize("path", RECIPES)
def test_a_loaded_model_can_be_pickled(trained, path):
    import limner

    model = limner.load(trained(path).name)
    again = pickle.loads(pickle.dumps(model))
    with torch.no_grad():
        assert torch.equal(outputs(path, again), outputs(path, model))


@pytest.mark.parametrize("path", TOKENIZERS)
def test_a_tokenizer_takes_pictures_apart_and_back(trained, path):
    import limner

    zoo = trained(path)
    model = limner.load(zoo.name)
    image = (pictures(3) + torch.tensor([-1.0, 0.0, 1.0])[:, None, None, None]).clamp(-1, 1)  # dark to light
    tokens = model.encode(image)
    count = sum(math.prod(grid) for grid in model.layout.grids)
    if model.quantizer.discrete:
        assert tokens.shape == (3, count)
        assert 0 <= int(tokens.min()) <= int(tokens.max()) < model.quantizer.entries
    else:
        assert tokens.shape == (3, count, model.quantizer.channels)
    rebuilt = model.decode(tokens)
    assert rebuilt.shape == image.shape
    assert float(rebuilt.abs().max()) <= 1
    assert torch.allclose(model.decode(tokens[1:2]), rebuilt[1:2], atol=1e-5)
    assert not torch.allclose(rebuilt[0], rebuilt[1])


@pytest.mark.parametrize("path", DRAWERS)
def test_a_drawer_draws_each_picture_by_itself(trained, path):
    import numpy as np

    import limner

    model = limner.load(trained(path).name)
    together = model.draw(["a red heart", "airplane"], n=2, seed=5)
    assert [picture.size for picture in together] == [(32, 32)] * 4
    alone = model.draw("airplane", n=1, seed=5)[0]
    difference = np.asarray(alone, np.int16) - np.asarray(together[2], np.int16)
    assert abs(difference).max() <= 1
    arrays = [np.asarray(picture) for picture in together]
    assert (arrays[0] != arrays[1]).any()
    assert (arrays[2] != arrays[3]).any()
    assert (np.asarray(model.draw("airplane", seed=6)[0]) != arrays[2]).any()


@pytest.mark.parametrize("path", DRAWERS)
def test_a_drawing_can_be_watched(trained, path):
    import limner
    from limner.types import Rng

    seen = []
    model = limner.load(trained(path).name)
    final = model.draw("tulip", watch=lambda step, total, pictures: seen.append((step, total, pictures[0])))[0]
    plan = model.generator.order.decoding_steps(1, model.generator.layout, model.steps, Rng(0))
    drawn = [model.patch**2 * count for count in torch.bincount(plan[0])[1:].tolist()]  # cells of 4x4 in each step
    total = len(drawn)
    assert [(step, of) for step, of, _ in seen] == [(step, total) for step in range(1, total + 1)]
    assert seen[-1][2].tobytes() == final.tobytes()
    grey = [sum(pixel == (230, 230, 230) for pixel in picture.get_flattened_data()) for _, _, picture in seen]
    if len(model.tokenizer.layout.grids) > 1:
        assert grey == [0] * total
        assert len({picture.tobytes() for _, _, picture in seen}) == total  # coarse to fine
    else:
        assert sum(drawn) == 16
        assert grey == [64 * (16 - sum(drawn[:step])) for step in range(1, total + 1)]


@pytest.mark.parametrize("path", DRAWERS)
def test_a_generator_in_half_precision_draws(trained, path):
    import limner

    model = limner.load(trained(path).name)
    whole = model.images(["tulip"], [3])
    model.generator.bfloat16()
    half = model.images(["tulip"], [3])
    assert half.shape == whole.shape
    assert half.isfinite().all()


def test_a_drawing_of_tokens_without_places_comes_out_of_the_grey(trained):
    """MaskGIT over a line of tokens: what is shown after each step is the share of them that is known."""
    import limner

    trained("tokenizers/titok")
    zoo = trained("generators/maskgit")
    model = zoo.recipe.build(replace(zoo.knobs, tokenizer="titok-64")).eval()
    model.subwords = limner.load(zoo.name).subwords
    tokens, known = torch.arange(6)[None], torch.tensor([[True, False, True, False, False, True]])
    with torch.no_grad():
        assert torch.allclose(model.sketch(tokens, known), 0.5 * model.decode(tokens) + 0.4)
    seen = []
    final = model.draw("tulip", watch=lambda step, total, pictures: seen.append((step, total, pictures[0])))[0]
    assert [(step, total) for step, total, _ in seen] == [(step, 6) for step in range(1, 7)]
    assert seen[-1][2].tobytes() == final.tobytes()


def test_passes_guidance_and_temperature_matter(trained):
    import limner

    model = limner.load(trained("generators/mar").name)
    plain = model.draw("tulip", steps=1)[0].tobytes()
    assert model.draw("tulip", steps=1)[0].tobytes() == plain
    others = [{"steps": 2}, {"steps": 1, "guidance": 400.0}, {"steps": 1, "temperature": 0.0}]
    assert plain not in [model.draw("tulip", **options)[0].tobytes() for options in others]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"prompt": ""}, "nothing to draw"),
        ({"prompt": []}, "nothing to draw"),
        ({"prompt": "a", "n": 0}, "n, is 0, but must be at least 1"),
        ({"prompt": "a", "steps": 5}, "choose 1 to 4"),
        ({"prompt": "a", "guidance": -1.0}, "guidance is -1"),
        ({"prompt": "a", "temperature": -1.0}, "temperature is -1"),
        ({"prompt": "word " * 60}, "60 subwords|subwords, but this model reads 48: shorten it, or train with --text-l"),
    ],
)
def test_what_cannot_be_drawn_is_refused(trained, options, sentence):
    import limner
    from limner.errors import InputError

    with pytest.raises(InputError, match=sentence):
        limner.load(trained("generators/mar").name).draw(**options)
