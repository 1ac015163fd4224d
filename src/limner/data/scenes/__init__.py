"""A procedural world of shapes and sprites: pictures, exact captions, questions, masks, edits and videos."""

from limner.data.scenes.edits import Edit, Edits
from limner.data.scenes.language import PHRASINGS, caption_of
from limner.data.scenes.questions import Question
from limner.data.scenes.render import BACKGROUNDS, RGB, render_things
from limner.data.scenes.scene import Scene, Scenes, paint
from limner.data.scenes.video import ACTIONS, Clip, Clips
from limner.data.scenes.world import (
    COLOURS,
    HELD_OUT_NAMES,
    HELD_OUT_PAIRS,
    HELD_OUT_SHAPES,
    POSITIONS,
    RELATIONS,
    SHAPES,
    SIZES,
    Sprites,
    Thing,
    is_held_out,
    relation,
)

__all__ = [
    "ACTIONS",
    "BACKGROUNDS",
    "COLOURS",
    "HELD_OUT_NAMES",
    "HELD_OUT_PAIRS",
    "HELD_OUT_SHAPES",
    "PHRASINGS",
    "POSITIONS",
    "RELATIONS",
    "RGB",
    "SHAPES",
    "SIZES",
    "Clip",
    "Clips",
    "Edit",
    "Edits",
    "Question",
    "Scene",
    "Scenes",
    "Sprites",
    "Thing",
    "caption_of",
    "is_held_out",
    "paint",
    "relation",
    "render_things",
]
