"""What can be said about a scene, exactly: noun phrases, places, relations, captions."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from limner.data.scenes.world import OPPOSITE, Thing, relation
from limner.errors import InputError

NUMBERS: tuple[str, ...] = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
IN_PLACE: dict[str, str] = {
    "top": "at the top",
    "bottom": "at the bottom",
    "left": "on the left",
    "right": "on the right",
}
SHORT: dict[str, str] = {"left": "left of", "right": "right of", "above": "above", "below": "below"}
LONG: dict[str, str] = {"left": "to the left of", "right": "to the right of", "above": "above", "below": "below"}

# What each phrasing says; all of them name colour and shape.
PHRASINGS: tuple[str, ...] = (
    "relation",  # a red heart left of a blue star
    "size and relation",  # a small red heart above a large blue star
    "position",  # a red heart in the top left
    "size and position",  # a small red heart in the top left
    "inverse relation",  # a blue star to the right of a red heart
    "together",  # a red heart and a blue star
    "there is",  # there is a red heart left of a blue star
    "position first",  # in the top left, a red heart
    "count",  # two things: a red heart and a blue star
)
RELATIONAL = frozenset({0, 1, 4, 6})  # the phrasings that state a relation where there are two things


def article(noun: str) -> str:
    """``a`` or ``an`` for a phrase, or ``""`` for a plural ("glasses")."""
    head = re.split(r"[:,]| with | showing | holding | lifting | over | of | in | on | and ", noun, maxsplit=1)[0]
    if re.search(r"([^siu]s|\bskis)$|^(men|women|people)\b(?!')", head) and not re.search(r"(gas|ceros)$", head):
        return ""
    if re.match(r"(?i:uni|use|ufo|uk|eu|ewe|one\b|once)", noun):
        return "a"
    return "an" if re.match(r"(?i:[aeiou]|hour|heir)|SOS|[FHLMNRSX][B-DF-HJ-NP-TV-Z]|8|11|18", noun) else "a"


def verb(noun: str) -> str:
    """``is``, or ``are`` for a plural."""
    return "is" if article(noun) else "are"


def name(thing: Thing, *, sized: bool = False) -> str:
    """``red heart`` or ``small red heart``."""
    return " ".join(word for word in (thing.size if sized else "", thing.colour, thing.shape) if word)


def phrase(thing: Thing, *, sized: bool = False) -> str:
    """``a red heart``, or with its size ``a small red heart``."""
    noun = name(thing, sized=sized)
    return f"{article(noun)} {noun}" if article(name(thing)) else noun


def place(thing: Thing) -> str:
    """``in the top left`` on the grid, ``near the top left`` off it, or ``""`` where no word clearly holds."""
    word = thing.position
    if not word or thing.cell < 0:
        return word and f"near the {word}"
    return IN_PLACE.get(word, f"in the {word}")


def listing(parts: Sequence[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def background_phrase(background: str) -> str:
    """`` on a yellow background``; nothing for white."""
    return "" if background == "white" else f" on a {background}" + ("" if "gradient" in background else " background")


def _related(things: Sequence[Thing], *, sized: bool, inverse: bool) -> str:
    """A relation where there are two things and one clearly holds, else a list."""
    word = relation(things[0], things[1]) if len(things) == 2 else ""
    first, *rest = (phrase(thing, sized=sized) for thing in things)
    if not word:
        return listing([first, *rest])
    if inverse:
        return f"{rest[0]} {LONG[OPPOSITE[word]]} {first}"
    return f"{first} {SHORT[word]} {rest[0]}"


def _placed(things: Sequence[Thing], *, sized: bool, first: bool) -> str:
    """Every thing with its place; without places where one has none, since "a and b in c" could mean both."""
    what = [phrase(thing, sized=sized) for thing in things]
    where = [place(thing) for thing in things]
    if not all(where):
        return listing(what)
    places = [" ".join(pair if first else pair[::-1]) for pair in zip(where, what, strict=True)]
    return listing(places)


def _counted(things: Sequence[Thing]) -> str:
    """``two hearts and a blue star`` style counts: things of one shape together, everything said once."""
    if len(things) == 1:
        return f"one {name(things[0])}" if article(name(things[0])) else name(things[0])
    shapes = Counter(thing.shape for thing in things)
    heading = f"{NUMBERS[len(things)]} things"
    if len(shapes) == 1 and things[0].emoji < 0:
        heading = f"{NUMBERS[len(things)]} {plural(things[0].shape)}"
    return f"{heading}: {listing([phrase(thing) for thing in things])}"


def plural(shape: str) -> str:
    """``hearts``, ``crosses``, ``hourglasses``."""
    return f"{shape}es" if shape.endswith("s") else f"{shape}s"


def caption_of(things: Sequence[Thing], phrasing: int = 0, background: str = "white") -> str:
    """An exact caption in one of the ``PHRASINGS``; where a relation or place does not clearly hold it is left unsaid.

    Raises InputError for an empty scene or a phrasing that does not exist.
    """
    if not things:
        raise InputError("A scene without things has no caption; give at least one thing.")
    if not 0 <= phrasing < len(PHRASINGS):
        raise InputError(f"There is no phrasing {phrasing}; take 0 to {len(PHRASINGS) - 1}.")
    kind = PHRASINGS[phrasing]
    if "relation" in kind:
        text = _related(things, sized="size" in kind, inverse="inverse" in kind)
    elif kind == "together":
        text = listing([phrase(thing) for thing in things])
    elif kind == "there is":
        text = f"there {verb(name(things[0]))} {_related(things, sized=False, inverse=False)}"
    elif kind == "count":
        text = _counted(things)
    elif kind == "position first":
        text = _placed(things, sized=False, first=True)
    else:
        text = _placed(things, sized="size" in kind, first=False)
    return text + background_phrase(background)
