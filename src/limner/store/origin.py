"""Models that can be saved again: what ``limner.load`` returns remembers the recipe and the knobs that it was built by.

    model = limner.load("mar-emoji-64")
    limner.save(model, "models/mine")        # weights.safetensors, recipe.json and a page that says what it is
    limner.push_to_hub(model, "me/mine")     # the same, on the Hugging Face Hub: limner.load("hf:me/mine")

The origin is an attribute of the model, so a copy of the model saves the copy's weights.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

from torch import nn

from limner.errors import InputError
from limner.store.files import HUB

PAGE = "README.md"
Model = TypeVar("Model", bound=nn.Module)


@dataclass(frozen=True)
class Origin:
    """Where a model comes from.

    Args:
        card: what its recipe.json says.
        paper: where its system was published; empty if unknown.
        write: puts the weights of a model of this origin, and the card, into a folder.
    """

    card: dict[str, Any]
    paper: str
    write: Callable[[nn.Module, Path], Path]


def remember(model: Model, origin: Origin) -> Model:
    """The model, which from now on has this origin."""
    model.__dict__["origin"] = origin
    return model


def save(model: nn.Module, folder: str | Path) -> Path:
    """Write a model that limner loaded or built, as it is now, into a folder that ``limner.load`` reads.

    Parameters are halved to bf16, as all that limner ships; those of a released model are kept as they are. A README.md
    in the folder is written anew. Returns the folder; raises `InputError` if the model has no origin, or if the folder
    cannot be written.
    """
    place = Path(folder)
    return _save(model, place, place.name if place.expanduser().is_absolute() else str(place))


def push_to_hub(
    model: nn.Module, repository: str, *, private: bool = False, message: str = "Saved by limner", token: str = ""
) -> str:
    """Save a model to the Hugging Face Hub and return the address that ``limner.load`` takes.

    Args:
        model: one that limner loaded or built.
        repository: ``owner/name``; made if there is none.
        private: make it so that only its owner sees it.
        message: of the commit.
        token: of an account that may write there; empty for the one that ``hf auth login`` has left.

    Raises `InputError` as `save` does, without huggingface_hub, offline, and if the Hub refuses.
    """
    from limner.store import hub

    address = f"{HUB}{repository}"
    with TemporaryDirectory(prefix="limner-") as place:
        folder = _save(model, Path(place) / "model", address)
        hub.upload(folder, repository, private=private, message=message, token=token)
    return address


def origin_of(model: nn.Module) -> Origin:
    """Where it comes from; raises `InputError` if it does not know."""
    origin = getattr(model, "origin", None)
    if not isinstance(origin, Origin):
        raise InputError(
            f"a {type(model).__name__} that limner neither loaded nor built does not know its recipe: load it by "
            "limner.load, or save it by limner.store.folder.save with recipe and knobs"
        )
    return origin


def _save(model: nn.Module, folder: Path, address: str) -> Path:
    origin = origin_of(model)
    from limner.nn.packing import unpacked

    with unpacked(model):
        place = origin.write(model, folder)
        (place / PAGE).write_text(page(model, origin, address), encoding="utf-8")
    return place


def page(model: nn.Module, origin: Origin, address: str) -> str:
    """The model's page: what it is, how it is used and how it came to be, with what the Hub reads in front."""
    card, count = origin.card, sum(parameter.numel() for parameter in model.parameters())
    use = (
        ("classes", "picture, = model.draw(classes=[207], n=1, seed=0)"),
        ("draw", 'picture, = model.draw("a red heart", n=1, seed=0)'),
        ("answers", 'model.answers(image, ["what is in the picture?"])'),
        ("encode", "tokens = model.encode(image)  # [b, 3, h, w] in [-1, 1]"),
    )
    usage = [line for name, line in use if hasattr(model, name)][:1]
    published = f" ({origin.paper})" if origin.paper else ""
    facts = [f"{name}: {card[name]}" for name in ("images", "steps", "commit", "note") if card.get(name) is not None]
    lines = [
        *("---", "library_name: limner", "tags:", "- limner", f"- {card['recipe'].rpartition('/')[2]}", "---", ""),
        f"# {address.rstrip('/').rpartition('/')[2]}",
        "",
        f"A model of limner's recipe `{card['recipe']}`{published} with {count:,} parameters.",
        "",
        *("```python", "import limner", "", f'model = limner.load("{address}")', *usage, "```", ""),
        "Every knob is in [recipe.json](recipe.json).",
        *(["", "How it came to be:", "", *(f"- {fact}" for fact in facts)] if facts else []),
        "",
    ]
    return "\n".join(lines)
