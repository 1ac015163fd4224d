from __future__ import annotations

import pytest
import torch


@pytest.fixture(scope="module")
def task():
    from limner.encoders.recogniser import Recogniser
    from limner.lessons.recogniser import RecogniserTraining

    torch.manual_seed(0)
    return RecogniserTraining(Recogniser(widths=(24, 32), name_dim=64), seed=3).begin()


@pytest.fixture
def reader():
    """A recogniser whose dense head is replaced by given maps: decoding is tested, not learning."""
    from limner.encoders.recogniser import PARTS, Recogniser

    class Given(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(1))
            self.maps = torch.full((1, sum(PARTS.values()), 16, 16), -9.0)
            self.maps[:, 1:3] = 0

        def put(self, row: int, column: int, shape: int, colour: int, size: int, sure: float = 5.0) -> None:
            at = self.maps[0, :, row, column]
            at[0] = sure
            for start, word in ((3, shape), (15, colour), (25, size)):
                at[start + word] = 3.0

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.maps.expand(len(x), -1, -1, -1)

    torch.manual_seed(0)
    model = Recogniser(num_names=5).eval()
    model.dense = Given()
    return model


def test_it_is_small():
    from limner.encoders.recogniser import Recogniser

    assert sum(parameter.numel() for parameter in Recogniser().parameters()) <= 610_000


def test_peaks_become_sightings_surest_first(reader):
    from limner.data.scenes import COLOURS, SHAPES, SIZES

    reader.dense.put(3, 10, shape=5, colour=2, size=1, sure=2.0)
    reader.dense.put(12, 4, shape=7, colour=9, size=0, sure=4.0)
    reader.dense.put(12, 5, shape=1, colour=1, size=2, sure=3.0)  # beside a surer one: no thing of its own
    reader.dense.maps[0, 1:3, 3, 10] = torch.tensor([0.25, -0.5])
    found = reader.read(torch.zeros(2, 3, 64, 64))
    assert found[0] == found[1]
    first, second = found[0]
    assert (first.shape, first.colour, first.size) == (SHAPES[7], COLOURS[9], SIZES[0])
    assert (first.x, first.y) == (18, 50)
    assert (second.shape, second.colour, second.size) == (SHAPES[5], COLOURS[2], SIZES[1])
    assert (second.x, second.y) == (43, 12)
    assert first.score == pytest.approx(torch.tensor(4.0).sigmoid().item())


def test_places_are_pixels_of_the_given_picture(reader):
    reader.dense.put(12, 4, shape=0, colour=0, size=0)
    ((thing,),) = reader.read(torch.zeros(1, 3, 128, 128))
    assert (thing.x, thing.y) == (36, 100)


def test_nothing_is_read_below_the_threshold(reader):
    reader.dense.put(2, 2, shape=0, colour=0, size=0, sure=-0.1)
    assert reader.read(torch.zeros(1, 3, 64, 64)) == [[]]
    assert len(reader.read(torch.zeros(1, 3, 64, 64), threshold=0.4)[0]) == 1


def test_a_batch_is_a_pure_function_of_its_numbers(task):
    whole, part = task.batch(0, 24), task.batch(7, 9)
    for name in ("image", "name", "centre"):
        assert torch.equal(whole[name][7:16], part[name]), name
    inside = (whole["cells"][:, 0] >= 7) & (whole["cells"][:, 0] < 16)
    for name in ("offset", "parts"):
        assert torch.equal(whole[name][inside], part[name]), name


def test_targets_say_where_things_are(task):
    from limner.data.scenes import COLOURS, SHAPES, SIZES, Scenes
    from limner.lessons.recogniser import _targets

    scene = Scenes(1, objects=(2, 2))[0]
    targets = _targets([(), scene.things], torch.tensor([True, False]))
    assert (targets["centre"][0] == -1).all()
    assert (targets["centre"][1] == 1).sum() == 2
    for cell, offset, parts, thing in zip(
        targets["cells"], targets["offset"], targets["parts"], scene.things, strict=True
    ):
        picture, row, column = cell.tolist()
        assert picture == 1
        assert ((column + 0.5 + offset[0]) * 4).item() == pytest.approx(thing.x, abs=1e-3)
        assert ((row + 0.5 + offset[1]) * 4).item() == pytest.approx(thing.y, abs=1e-3)
        words = SHAPES[parts[0]], COLOURS[parts[1]], SIZES[parts[2]]
        assert words == (thing.shape, thing.colour, thing.size)


def test_every_emoji_comes_once_per_epoch(task):
    from limner.lessons.recogniser import KINDS

    shown = [task._turn(0, k) for k in range(8 * 374) if KINDS[k % 8] == "emoji"]
    assert sorted(shown[:1870]) == list(range(1870))
    assert shown[:100] != sorted(shown[:100])


def test_judging_a_trained_model_leaves_its_weights_alone(task):
    from limner.encoders.recogniser import Recogniser
    from limner.lessons.recogniser import RecogniserTraining

    model = Recogniser(widths=(8, 8), name_dim=8)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    trained = RecogniserTraining(model)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    trained.begin()
    assert not torch.equal(model.name.weight, before["name.weight"])


def test_judged_scenes_are_not_trained_on_but_every_composition_is(task):
    from limner.data.scenes import is_held_out

    seeds = {world.seed for world in task.scenes["train"]}
    assert seeds == {10_003}
    held_out = sum(is_held_out(world[i].things) for world in task.scenes["train"] for i in range(3))
    assert held_out == len(task.scenes["train"])


def test_a_short_training_reads_shapes_and_names(task):
    """Fifty steps on one batch: the parts are learned, and pictures without things stay empty."""
    from limner.types import Rng

    batch = task.batch(0, 32)
    optimizer = torch.optim.AdamW(task.model.parameters(), lr=6e-3)
    for _ in range(50):
        loss, metrics = task.loss(task.model, batch, Rng(0))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert all(float(metrics[f"accuracy/{part}"]) > 0.9 for part in ("name", "shape", "colour", "size"))
    found = task.model.eval().read(batch["image"])
    kinds = batch["centre"].amax(dim=(1, 2))
    empty = [row for row in range(32) if kinds[row] == 0]
    assert empty
    assert sum(len(found[row]) for row in empty) == 0
    labels, sure = task.model.name_emoji(batch["image"])
    named = batch["name"] >= 0
    assert (labels[named] == batch["name"][named]).float().mean() > 0.9
    assert ((sure > 0) & (sure <= 1)).all()
