"""ControlAR at tiny knobs: the edges of an image reach what is learned and what is drawn."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw


def heart(side: int, left: int) -> Image.Image:
    picture = Image.new("RGB", (side, side), "white")
    ImageDraw.Draw(picture).ellipse((left, side // 4, left + side // 2, 3 * side // 4), fill="red")
    return picture


def test_edges_are_where_brightness_changes():
    from limner.generators.control import edges
    from limner.nn.pixels import to_tensor

    image = to_tensor([np.asarray(heart(32, 2)), np.asarray(heart(32, 12))])
    steep = edges(image)
    assert steep.shape == (2, 1, 32, 32)
    assert 0 <= float(steep.min()) < float(steep.max()) <= 1
    torch.testing.assert_close(steep[0, 0, :, 2:18], steep[1, 0, :, 12:28])
    assert float(steep[0, 0, 16, 8:12].max()) < 1e-6


def test_the_loss_reaches_every_weight_of_the_control(trained):
    from limner.types import Rng

    task = trained("generators/controlar").run.task
    task.model.zero_grad()
    loss, _ = task.loss(task.model, task.batch(0, 8), Rng(0))
    loss.backward()
    generator = task.model.generator
    parts = (generator.condition.adapter, generator.condition.project, generator.backbone.layers)
    assert [p for part in parts for p in part.parameters() if p.grad is None or not p.grad.any()] == []


@pytest.mark.parametrize("guidance", [1.0, 3.0])
def test_what_is_drawn_depends_on_the_control(trained, guidance):
    import limner
    from limner.errors import InputError

    model = limner.load(trained("generators/controlar").name)
    with torch.no_grad():
        for layer in model.generator.backbone.layers:
            layer.fc2.weight.mul_(300.0)  # after two steps of training it says little
    left, right = heart(48, 4), heart(48, 20)

    def draw(control, n=2):
        return [np.asarray(p) for p in model.draw("a red heart", control=control, n=n, seed=4, guidance=guidance)]

    assert (draw(left)[1] == draw(left, 2)[1]).all()
    assert (draw(left, 1)[0] == draw(left)[0]).all()
    assert (draw(left)[0] != draw(right)[0]).any()
    assert (draw(left)[0] != draw(None)[0]).any()
    model.generator.backbone.strength = 0.0
    assert all((a == b).all() for a, b in zip(draw(left), draw(None), strict=True))
    with pytest.raises(InputError, match="at least 1"):
        draw(left, 0)


def test_a_depth_without_thirds_is_refused():
    from limner.errors import InputError
    from limner.generators.backbones.llama import LlamaTransformer
    from limner.generators.control import ControlledTransformer

    with pytest.raises(InputError, match="multiple of 3"):
        ControlledTransformer(LlamaTransformer(grid=(2, 2), prefix=1, width=16, depth=4, heads=2, hidden=16))


def test_the_command_line_takes_a_control(trained, command_line, tmp_path):
    name = trained("generators/controlar").name
    heart(40, 8).save(tmp_path / "heart.png")
    (tmp_path / "none.png").write_text("no image")
    asked = ("draw", "a red heart", "-o", tmp_path / "drawn.png", "--control")
    assert command_line(*asked, tmp_path / "heart.png", "--model", name).code == 0
    assert (tmp_path / "drawn.png").is_file()
    assert "is no picture that limner reads" in command_line(*asked, tmp_path / "none.png", "--model", name).err
    other = trained("generators/llamagen").name
    assert "follows no image" in command_line(*asked, tmp_path / "heart.png", "--model", other).err
