"""What each patch of a scene shows, in words."""

from __future__ import annotations

from limner.data.scenes.language import name
from limner.data.scenes.scene import Scene

FILLED = 0.3  # share of a patch that a thing must cover to name it


def patch_names(scene: Scene, grid: int) -> list[str]:
    """Row by row over ``grid x grid`` patches: the thing that covers most of a patch ("red heart"), the background
    ("white") where there is no thing at all, and "" where it is a little of both."""
    masks = scene.masks
    side = masks.shape[-1] // grid
    covered = masks.reshape(len(masks), grid, side, grid, side).mean((2, 4)).reshape(len(masks), -1)
    most, amount = covered.argmax(0), covered.max(0)
    names = [name(thing) for thing in scene.things]
    return [
        names[thing] if share >= FILLED else "" if share else scene.background
        for thing, share in zip(most, amount, strict=True)
    ]
