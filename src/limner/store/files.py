"""A model folder on disk: weights.safetensors, recipe.json, and what travels with them.

``recipe.json`` names the recipe's module, its knobs, how the weights came to be, and the SHA-256 of the weights. Files
are written aside and renamed, recipe.json last; nothing is pickled.
"""

from __future__ import annotations

import difflib
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from limner.catalogue.places import shipped
from limner.errors import CheckpointError, InputError
from limner.nn.weights import misfits
from limner.store.knobs import ASIDE, CARD
from limner.train.checkpoint import file_hash

WEIGHTS = "weights.safetensors"
HUB = "hf:"  # before the address of a model on the Hugging Face Hub
RELEASE = "release"  # in the card of converted weights: what they were recognised as
TOKENIZER = "tokenizer"  # the knob, and the folder in which a generator carries a tokenizer that does not ship
CARRIED = (TOKENIZER, "proxy")  # knobs that may name models of limner, which are carried if they do not ship
DESCRIBED = ("encoder", "language")  # knobs that may name folders of transformers, whose descriptions are carried
DESCRIPTION = (
    *("config.json", "generation_config.json", "preprocessor_config.json", "chat_template.jinja", "tokenizer.json"),
    *("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.json", "merges.txt"),
)


def write(folder: Path, tensors: dict[str, Tensor], card: dict[str, Any], carried: dict[str, str]) -> Path:
    """Write a model: the folder holds what it held before, or the new model, at whatever moment this is cut."""
    from limner.store.commit import commit, discard, finish

    parts = {**card["knobs"], **carried}
    weights, described = folder / (ASIDE + WEIGHTS), folder / (ASIDE + CARD)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        finish(folder, WEIGHTS, CARD, *CARRIED)
        discard(folder, CARD, WEIGHTS, *CARRIED)
        save_file(tensors, weights)
        for knob in CARRIED:
            _carry_model(parts.get(knob), folder / knob)
        for knob in DESCRIBED:
            _carry_description(parts.get(knob), folder / knob)
        card = {**card, "knobs": without_places(card["knobs"]), "weights": file_hash(weights)}
        described.write_text(json.dumps(card, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        shutil.copymode(described, weights)  # safetensors makes files that their owner alone may read
        commit(folder, WEIGHTS, CARD, *CARRIED)
    except (OSError, SafetensorError) as error:
        problem = getattr(error, "strerror", None) or error
        raise InputError(f"{folder} cannot be written ({problem}): free some space, or choose another place") from None
    return folder


def without_places(knobs: Mapping[str, Any]) -> dict[str, Any]:
    """Knobs whose paths do not say where on this machine something lay: a folder of which only the name is left is
    carried, or was needed to train alone."""
    return {
        knob: Path(value).name if isinstance(value, str) and Path(value).expanduser().is_absolute() else value
        for knob, value in knobs.items()
    }


def _carry_model(name: str | None, place: Path) -> None:
    """Prepare a copy of a model, and of those that it carries, for the folder of one that is made of it; or an empty
    folder, where the model that was here before had one."""
    aside = place.with_name(ASIDE + place.name)
    if name is None or name in shipped_models():
        if (place / CARD).is_file():
            aside.mkdir()
        return
    if name.startswith(HUB):
        from limner.store.hub import download

        source = locate(download(name))
    else:
        source = locate(name)
    if source != place:
        _copy_model(source, aside)


def _copy_model(source: Path, place: Path) -> None:
    place.mkdir()
    for file in (WEIGHTS, CARD):
        shutil.copyfile(source / file, place / file)
    for knob in CARRIED:
        if (source / knob / CARD).is_file():
            _copy_model(source / knob, place / knob)


def _carry_description(name: str | None, folder: Path) -> None:
    if name is None or not is_described(name) or Path(name) == folder:
        return
    folder.mkdir(exist_ok=True)
    for file in DESCRIPTION:
        if (Path(name) / file).is_file():
            shutil.copyfile(Path(name) / file, folder / file)


def is_described(name: str) -> bool:
    """Is it a folder as transformers writes them, and not one of limner's models?"""
    return (Path(name) / DESCRIPTION[0]).is_file()


def shipped_models() -> dict[str, Path]:
    """Name and folder of every model at hand: those under ``LIMNER_WEIGHTS``, then those that ship with limner."""
    roots = [Path(root) for root in os.environ.get("LIMNER_WEIGHTS", "").split(os.pathsep) if root]
    found: dict[str, Path] = {}
    for root in [*roots, shipped("weights")]:
        for card in sorted(root.glob(f"*/{CARD}")):
            found.setdefault(card.parent.name, card.parent)
    return found


def locate(name: str | Path) -> Path:
    """Folder of a model by name or path; raises `InputError` with the closest names if there is none.

    A name that ships means the model that ships, whatever lies in the working directory: a folder called so is
    ``./vae-64``, or a `Path`.
    """
    path, models = Path(name), shipped_models()
    if isinstance(name, str) and name in models:
        return models[name]
    for folder in (path, path / "model"):
        if (folder / CARD).is_file():
            return folder
    if path.exists():
        raise InputError(f"{name} holds no {CARD}: give the folder of a trained run or of a saved model")
    close = difflib.get_close_matches(str(name), models, n=3, cutoff=0.4) or list(models)
    raise InputError(f"there is no model {str(name)!r}: choose {', '.join(close) or 'a folder; none ships here'}")


def read_card(folder: Path) -> dict[str, Any]:
    """The parsed recipe.json of a model folder."""
    if (folder / (ASIDE + CARD)).is_file():
        from limner.store.commit import finish

        finish(folder, WEIGHTS, CARD, *CARRIED)
    try:
        card = json.loads((folder / CARD).read_text(encoding="utf-8"))
        checked = {"recipe": str(card["recipe"]), "knobs": dict(card["knobs"])}
        return {**card, **checked, **({RELEASE: dict(card[RELEASE])} if RELEASE in card else {})}
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise CheckpointError(f"{folder / CARD} cannot be read ({error}): copy or save the model again") from None


def checked_weights(folder: Path, card: dict[str, Any]) -> dict[str, Tensor]:
    tensors = read_weights(folder / WEIGHTS)
    if card.get("weights", "") != file_hash(folder / WEIGHTS):
        raise CheckpointError(
            f"{folder / WEIGHTS} is not what was saved: its SHA-256 differs from {CARD}; copy it again"
        )
    return tensors


def weights_hash(name: str | Path) -> str:
    """SHA-256 of a model's weights file."""
    return file_hash(locate(name) / WEIGHTS)


def read_weights(path: Path) -> dict[str, Tensor]:
    """Tensors of a safetensors file; raises `CheckpointError` if it is missing or damaged."""
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path} cannot be read ({error}): copy or save the model again") from None


def fill(model: nn.Module, tensors: Mapping[str, Tensor], source: Path) -> None:
    """Load every tensor into the model, or raise `CheckpointError` naming the keys, shapes, kinds and values that do
    not fit.

    Prefixes by which the model's parts were once called are in its ``former_names``, if it has any.
    """
    tensors = renamed(model, tensors)
    if problems := misfits(model.state_dict(), tensors):
        raise CheckpointError(f"{source} does not fit: {problems}: it was saved by other code or other knobs")
    model.load_state_dict(tensors)


def renamed(model: nn.Module, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors by the names that a model has for them now."""
    former: Mapping[str, str] = getattr(model, "former_names", {})
    for old, new in former.items():
        tensors = {new + name.removeprefix(old) if name.startswith(old) else name: t for name, t in tensors.items()}
    return dict(tensors)
