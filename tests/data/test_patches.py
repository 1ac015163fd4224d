"""What each patch of a scene shows, in words."""

from __future__ import annotations

from dataclasses import replace

from limner.data.scenes import Scenes
from limner.data.scenes.patches import patch_names


def test_a_patch_is_named_after_what_fills_it():
    scene = Scenes(0, split="heldout", size=64, objects=(2, 2))[1]
    names = patch_names(scene, 8)
    things = {f"{thing.colour} {thing.shape}" for thing in scene.things}
    assert len(names) == 64
    assert set(names) == {*things, scene.background, ""}
    for thing, mask in zip(scene.things, scene.masks, strict=True):
        cells = mask.reshape(8, 8, 8, 8).mean((1, 3)).flatten()
        told = [name == f"{thing.colour} {thing.shape}" for name in names]
        assert all(share >= 0.3 for share, named in zip(cells, told, strict=True) if named)
        assert all(named for share, named in zip(cells, told, strict=True) if share > 0.9)
    empty = ~scene.masks.any(0).reshape(8, 8, 8, 8).any((1, 3)).flatten()
    assert [name == scene.background for name in names] == empty.tolist()


def test_of_two_things_the_one_that_shows_more_names_the_patch():
    scene = Scenes(3, split="heldout", size=64, objects=(2, 4), grid=False, overlap=True)[0]
    below = replace(scene, things=(scene.things[0], replace(scene.things[0], colour="black", shape="square")))
    assert "black square" in patch_names(below, 8)
