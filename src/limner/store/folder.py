"""Finished models: folders of safetensors and recipe.json, saved by training and loaded by name.

``recipe.json`` names the recipe's module, its knobs, and how the weights came to be. Nothing is pickled, and a model is
rebuilt by its own recipe, so ``load`` has no branch per system.
"""

from __future__ import annotations

import difflib
import importlib
import json
import os
import shutil
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from limner.catalogue.places import shipped
from limner.catalogue.recipes import RECIPES
from limner.errors import CheckpointError, InputError
from limner.models.class_to_image import ClassToImage
from limner.recipe import Recipe
from limner.store.hub import PREFIX, download
from limner.store.knobs import CARD, json_knobs, parse_knobs
from limner.store.origin import Origin, origin_of, remember
from limner.store.release import Names, State
from limner.store.released import Released, class_drawer, load_released, load_saved, side_wanted, to_save
from limner.train.checkpoint import file_hash
from limner.train.settings import Settings

WEIGHTS = "weights.safetensors"
RELEASE = "release"  # of converted weights: what they were recognised as
SIGNATURE = "signature"  # of a release whose weights were saved by us: by what it is known
SIDE = "side"  # of a release whose weights do not tell it, if it was told
TOKENIZER = "tokenizer"  # the knob, and the folder in which a generator carries a tokenizer that ships nowhere
DESCRIBED = ("encoder", "language")  # knobs that may name folders of transformers, whose descriptions are carried
DESCRIPTION = (
    *("config.json", "generation_config.json", "preprocessor_config.json", "chat_template.jinja", "tokenizer.json"),
    *("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.json", "merges.txt"),
)


def find_recipe(path: str) -> Recipe:
    """The recipe of a path such as ``generators/mar``; raises `InputError` if there is none."""
    family, _, name = path.partition("/")
    found = None
    if family.isidentifier() and name.isidentifier() and (RECIPES / family / f"{name}.py").is_file():
        found = getattr(importlib.import_module(f"limner.recipes.{family}.{name}"), "RECIPE", None)
    if not isinstance(found, Recipe):
        raise InputError(f"there is no recipe {path!r}: `limner train` lists those there are")
    return found


def save(model: nn.Module, folder: Path, *, recipe: str, knobs: Settings, facts: dict[str, Any]) -> Path:
    """Write a model in bf16: its floating parameters halved, buffers and integers as they are.

    A generator over a tokenizer of one's own gets a copy of it, and what was put together from folders of transformers
    a copy of all but their weights, so that its folder can be moved or given away. Files are written aside and renamed,
    recipe.json last. Raises `InputError` if the folder cannot be written.
    """
    return _write_built({"recipe": recipe, "knobs": json_knobs(knobs), **facts}, {}, model, folder)


def build(path: str, knobs: Settings) -> nn.Module:
    """The freshly initialised model of a recipe such as ``generators/mar``, which can be saved by itself: see
    `limner.store.origin`."""
    recipe = find_recipe(path)
    return _remembered(recipe.build(knobs), recipe, {"recipe": path, "knobs": json_knobs(knobs)}, {})


def _remembered(model: nn.Module, recipe: Recipe, card: dict[str, Any], carried: dict[str, str]) -> nn.Module:
    return remember(model, Origin(card, recipe.paper, partial(_write_built, card, carried)))


def _write_built(card: dict[str, Any], carried: dict[str, str], model: nn.Module, folder: Path) -> Path:
    """``carried``: folders that take the place of those that the knobs name."""
    parameters = {name for name, _ in model.named_parameters()}
    tensors = {
        name: (value.to(torch.bfloat16) if name in parameters and value.is_floating_point() else value).contiguous()
        for name, value in model.state_dict().items()
    }
    return _write(folder, tensors, card, carried)


def convert(
    source: Path, folder: Path, *, trust: bool = False, side: int | None = None, tokenizer: Path | None = None
) -> Released:
    """Turn a file that the authors of a system published into a model folder: its weights, under the authors' names,
    as safetensors, and a card; with a ``tokenizer``, one that draws. Errors as those of `load` and `save`."""
    released = load_released(source, trust=trust, side=side)
    if tokenizer is not None:
        other = load_released(tokenizer, trust=trust, side=side_wanted(released))
        class_drawer(released, _released(other), tokenizer)  # do they belong together?
        _write_official(other, folder / TOKENIZER)
    _write_official(released, folder)
    return released


def _write_official(released: Released, folder: Path) -> None:
    release, skipped = released.release, released.report.skipped
    kept = {key: value for key, value in released.state.items() if key not in skipped or release.bears(key)}
    tensors = {key: value.contiguous().clone() for key, value in kept.items()}  # shared memory cannot be saved
    _write(folder, tensors, _release_card(released), {})


def _release_card(released: Released) -> dict[str, Any]:
    system, kind = released.release.system, released.release.kind
    told = {} if released.side is None else {SIDE: released.side}
    return {"recipe": f"official/{system}", "knobs": {}, RELEASE: {"system": system, "kind": kind, **told}}


def _released(released: Released) -> nn.Module:
    card = _release_card(released)
    card[RELEASE] |= {SIGNATURE: list(released.release.signature)}
    write = partial(_write_released, card, released.release.names, released.report.loaded, released.kept)
    return remember(released.model, Origin(card, "", write))


def _with_tokenizer(released: Released, tokenizer: str | Path | nn.Module | None, trust: bool) -> nn.Module:
    """The model, or if a tokenizer is given what draws with it."""
    model = _released(released)
    if tokenizer is None:
        return model
    if isinstance(tokenizer, nn.Module):
        drawer = class_drawer(released, tokenizer, f"a {type(tokenizer).__name__}")
    else:
        other = _load_released(_found(tokenizer), trust, side_wanted(released))
        drawer = class_drawer(released, load(tokenizer) if other is None else _released(other), tokenizer)
    return remember(drawer, Origin(origin_of(model).card, "", _write_drawer))


def _write_drawer(model: nn.Module, folder: Path) -> Path:
    assert isinstance(model, ClassToImage)
    origins = origin_of(model.module), origin_of(model.generator)
    origins[0].write(model.module, folder / TOKENIZER)
    return origins[1].write(model.generator, folder)


def _write_released(
    card: dict[str, Any], names: Names, loaded: Sequence[str], kept: State, model: nn.Module, folder: Path
) -> Path:
    return _write(folder, to_save(model, names, loaded, kept), card, {})


def _write(folder: Path, tensors: dict[str, Tensor], card: dict[str, Any], carried: dict[str, str]) -> Path:
    parts = {**card["knobs"], **carried}
    aside = folder / f".writing-{WEIGHTS}", folder / f".writing-{CARD}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        save_file(tensors, aside[0])
        card = {**card, "weights": file_hash(aside[0])}
        aside[1].write_text(json.dumps(card, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        shutil.copymode(aside[1], aside[0])  # safetensors makes files that their owner alone may read
        _carry_tokenizer(parts.get(TOKENIZER), folder)
        for knob in DESCRIBED:
            _carry_description(parts.get(knob), folder / knob)
        aside[0].replace(folder / WEIGHTS)
        aside[1].replace(folder / CARD)
    except OSError as error:
        raise InputError(f"{folder} cannot be written ({error.strerror or error}): choose another place") from None
    return folder


def _carry_tokenizer(name: str | None, folder: Path) -> None:
    if name is None or name in shipped_models():
        return
    source, aside = locate(name), folder / f".writing-{TOKENIZER}"
    if source != folder / TOKENIZER:
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir()
        for file in (WEIGHTS, CARD):
            shutil.copyfile(source / file, aside / file)
        shutil.rmtree(folder / TOKENIZER, ignore_errors=True)
        aside.replace(folder / TOKENIZER)


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
    try:
        card = json.loads((folder / CARD).read_text(encoding="utf-8"))
        checked = {"recipe": str(card["recipe"]), "knobs": dict(card["knobs"])}
        return {**card, **checked, **({RELEASE: dict(card[RELEASE])} if RELEASE in card else {})}
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise CheckpointError(f"{folder / CARD} cannot be read ({error}): copy or save the model again") from None


def load(
    name: str | Path,
    *,
    tokenizer: str | Path | nn.Module | None = None,
    side: int | None = None,
    trust: bool = False,
) -> Any:
    """A finished model in evaluation mode, in fp32, on the CPU.

    Args:
        name: a model's name (``"mar-emoji-64"``) or folder, a file that the authors of a system published
            (``"var_d16.pth"``), or either on the Hugging Face Hub (``"hf:FoundationVision/var/var_d16.pth"``).
        tokenizer: of a published generator, which then draws: a name as above, or the tokenizer itself.
        side: tokens on a side of the pictures of a published model whose weights do not tell; None takes the usual
            number, and a tokenizer follows its generator.
        trust: read a published file even if reading it may run code that it holds.

    Raises `InputError` if there is no such model or if it has no such choice, and `CheckpointError` if its files are
    damaged or, naming keys and shapes, if its weights do not fit its recipe.
    """
    path = _found(name)
    if (released := _load_released(path, trust, side)) is not None:
        carried = path / TOKENIZER if (path / TOKENIZER / CARD).is_file() else None
        return _with_tokenizer(released, carried if tokenizer is None else tokenizer, trust)
    if tokenizer is not None or side is not None:
        raise InputError(f"{name} knows its own tokenizer and grid: leave tokenizer and side out")
    return _load_built(path)


def _found(name: str | Path) -> Path:
    """A file, or the folder of a model."""
    place = download(str(name)) if str(name).startswith(PREFIX) else name
    return Path(place) if Path(place).is_file() else locate(place)


def _load_released(path: Path, trust: bool, side: int | None) -> Released | None:
    """The model of an official file, or of the folder of one; None if it is a recipe's."""
    if path.is_file():
        return load_released(path, trust=trust, side=side)
    card = read_card(path)
    if RELEASE not in card:
        return None
    side = card[RELEASE].get(SIDE) if side is None else side
    if signature := card[RELEASE].get(SIGNATURE):
        return load_saved(_checked_weights(path, card), signature, path, side=side)
    _checked_weights(path, card)
    return load_released(path / WEIGHTS, side=side)


def _checked_weights(folder: Path, card: dict[str, Any]) -> dict[str, Tensor]:
    tensors = read_weights(folder / WEIGHTS)
    if card.get("weights", "") != file_hash(folder / WEIGHTS):
        raise CheckpointError(
            f"{folder / WEIGHTS} is not what was saved: its SHA-256 differs from {CARD}; copy it again"
        )
    return tensors


def _load_built(folder: Path) -> nn.Module:
    """The model of a recipe's folder."""
    card = read_card(folder)
    tensors = _checked_weights(folder, card)
    recipe = recipe_of(card, folder)
    own = {TOKENIZER: str(folder / TOKENIZER)} if (folder / TOKENIZER / CARD).is_file() else {}
    own |= {knob: str(folder / knob) for knob in DESCRIBED if is_described(str(folder / knob))}
    model = recipe.build(parse_knobs(recipe.knobs, {**card["knobs"], **own}, folder))
    fill(model, tensors, folder)
    return _remembered(model.float().eval().requires_grad_(False), recipe, card, own)


def recipe_of(card: dict[str, Any], folder: Path) -> Recipe:
    """The recipe that a card names; raises `CheckpointError` if it is none, `InputError` for a converted release."""
    if RELEASE in card:
        system, kind = card[RELEASE]["system"], card[RELEASE]["kind"]
        raise InputError(
            f"{folder} holds the {kind} that the authors of {system} released: no recipe scores or trains it"
        )
    try:
        return find_recipe(card["recipe"])
    except InputError:
        named = card["recipe"]
        raise CheckpointError(
            f"{folder / CARD} names {named!r}, which is no recipe of this limner: update it"
        ) from None


def weights_hash(name: str | Path) -> str:
    """SHA-256 of a model's weights file."""
    return file_hash(locate(name) / WEIGHTS)


def read_weights(path: Path) -> dict[str, Tensor]:
    """Tensors of a safetensors file; raises `CheckpointError` if it is missing or damaged."""
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path} cannot be read ({error}): copy or save the model again") from None


def fill(model: nn.Module, tensors: dict[str, Tensor], source: Path) -> None:
    """Load every tensor into the model, or raise `CheckpointError` naming the first key or shape that does not fit."""
    own = model.state_dict()
    for problem, names in (("lacks", own.keys() - tensors.keys()), ("has unknown", tensors.keys() - own.keys())):
        if names:
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            raise CheckpointError(f"{source} {problem} {min(names)}{more}: it was saved by other code or other knobs")
    for key, value in tensors.items():
        if not key.endswith("_extra_state") and value.shape != own[key].shape:
            given, wanted = list(value.shape), list(own[key].shape)
            raise CheckpointError(f"{source}: {key} has shape {given}, not {wanted}: it was saved with other knobs")
    model.load_state_dict(tensors)
