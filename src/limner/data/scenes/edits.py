"""Edit pairs: an instruction, the picture before it and the picture after it; nothing else changes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random
from typing import TypeAlias

from limner.data.scenes.language import name, phrase, place
from limner.data.scenes.render import BACKGROUNDS
from limner.data.scenes.sampling import EDGE, draw_kinds, fits, pick, put, radius_of
from limner.data.scenes.scene import Scene, Scenes, paint, random_for
from limner.data.scenes.world import COLOURS, POSITIONS, SHAPES, SIZES, WORLD, Thing, is_held_out

Things: TypeAlias = tuple[Thing, ...]
Change: TypeAlias = tuple[str, Things]  # the instruction and the things after it


@dataclass(frozen=True)
class Edit:
    """``kind`` is one of ``EDITS`` or "background"; ``before`` and ``after`` are scenes of the same size."""

    kind: str
    instruction: str
    before: Scene
    after: Scene


def _swap(things: Things, index: int, thing: Thing) -> Things:
    return (*things[:index], thing, *things[index + 1 :])


def _recolour(things: Things, index: int, rng: Random) -> Change | None:
    thing = things[index]
    if thing.emoji >= 0:
        return None
    colour = pick(rng, tuple(c for c in COLOURS if c != thing.colour))
    forms = (f"make the {name(thing)} {colour}", f"change the colour of the {name(thing)} to {colour}")
    return pick(rng, forms), _swap(things, index, replace(thing, colour=colour))


def _reshape(things: Things, index: int, rng: Random) -> Change | None:
    thing = things[index]
    if thing.emoji >= 0:
        return None
    new = replace(thing, shape=pick(rng, tuple(s for s in SHAPES if s != thing.shape)))
    forms = (f"turn the {name(thing)} into {phrase(new)}", f"replace the {name(thing)} with {phrase(new)}")
    return pick(rng, forms), _swap(things, index, new)


def _resize(things: Things, index: int, rng: Random) -> Change | None:
    thing = things[index]
    size = pick(rng, tuple(s for s in SIZES if s != thing.size))
    radius = radius_of(rng, size)
    x, y = (min(max(v, radius + EDGE), WORLD - radius - EDGE) for v in (thing.x, thing.y))
    new = replace(thing, size=size, radius=radius, x=x, y=y)
    return f"make the {name(thing)} {size}", _swap(things, index, new)


def _move(things: Things, index: int, rng: Random) -> Change | None:
    thing = things[index]
    cell = int(rng.random() * len(POSITIONS))
    if POSITIONS[cell] == thing.position:
        return None
    new = put(rng, (thing.colour, thing.shape, thing.emoji), thing.size, cell, thing.radius)
    new = new if thing.cell >= 0 else replace(new, cell=-1)
    side = " side" if POSITIONS[cell] in ("left", "right") else ""  # else it could mean: a little further left
    return f"move the {name(thing)} to the {POSITIONS[cell]}{side}", _swap(things, index, new)


def _add(things: Things, index: int, rng: Random) -> Change | None:
    if len(things) == 4:
        return None
    kind = draw_kinds(rng, 1, "train")[0]
    new = put(rng, kind, pick(rng, SIZES), int(rng.random() * len(POSITIONS)))
    new = new if things[index].cell >= 0 else replace(new, cell=-1)
    return f"add {phrase(new, sized=True)} {place(new)}", (*things, new)


def _remove(things: Things, index: int, rng: Random) -> Change | None:
    if len(things) == 1:
        return None
    return f"{pick(rng, ('remove', 'delete'))} the {name(things[index])}", (*things[:index], *things[index + 1 :])


EDITS: dict[str, Callable[[Things, int, Random], Change | None]] = {
    "recolour": _recolour,
    "reshape": _reshape,
    "resize": _resize,
    "move": _move,
    "add": _add,
    "remove": _remove,
}


def _background(scene: Scene, rng: Random) -> tuple[str, str]:
    """The instruction and the new background, of the same kind as the old one."""
    kind = next(names for names in BACKGROUNDS.values() if scene.background in names)
    new = pick(rng, tuple(name for name in kind if name != scene.background))
    return f"change the background to {'a ' if 'gradient' in new else ''}{new}", new


def _valid(after: Things, separation: float, familiar: bool) -> bool:
    """Are all names different, does nothing collide, and is no composition shown that must not be?"""
    apart = all(fits(thing, list(after[:i]), separation) for i, thing in enumerate(after))
    return apart and len({name(thing) for thing in after}) == len(after) and not (familiar and is_held_out(after))


class Edits:
    """Edit number ``index`` starts from scene number ``index``; where the scenes hold no held-out composition, neither
    do the edited ones. The background is only changed where the scenes have more than one of their kind."""

    def __init__(self, scenes: Scenes) -> None:
        self.scenes = scenes
        self.name = f"edits-{scenes.split}"

    def __len__(self) -> int:
        return len(self.scenes)

    def __getitem__(self, index: int) -> Edit:
        """Raises IndexError outside ``0 .. len - 1``."""
        before = self.scenes[index]
        rng = random_for(before.key, "edit")
        kinds = tuple(EDITS) if before.background == "white" else (*EDITS, "background")
        familiar = self.scenes.split != "compositions"
        while True:
            kind = pick(rng, kinds)
            if kind == "background":
                instruction, background = _background(before, rng)
                return Edit(kind, instruction, before, _repaint(before, before.things, background))
            for _ in range(8):
                change = EDITS[kind](before.things, int(rng.random() * len(before.things)), rng)
                if change is not None and _valid(change[1], self.scenes.separation, familiar):
                    return Edit(kind, change[0], before, _repaint(before, change[1], before.background))


def _repaint(scene: Scene, things: Things, background: str) -> Scene:
    return paint(
        things,
        len(scene.image),
        background,
        phrasing=scene.phrasing,
        phase=scene.phase,
        key=scene.key,
        sprites=scene.sprites,
    )
