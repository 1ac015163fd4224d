"""Models by name: ``load`` is the one door, whether limner trained a model or its authors published it.

    load("mar-emoji-64")      a model that ships           load("runs/mine")       a folder that training saved
    load("var_d16.pth")       what authors published       load("hf:owner/name")   either, on the hub

A model is rebuilt by the recipe that its card names, so ``load`` has no branch per system.
"""

from __future__ import annotations

import importlib
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar, overload

import torch
from torch import Tensor, nn

from limner.catalogue.places import PACKAGE
from limner.errors import CheckpointError, InputError
from limner.nn.weights import buildable
from limner.recipe import Recipe
from limner.store.files import (
    CARRIED,
    DESCRIBED,
    HUB,
    RELEASE,
    checked_weights,
    fill,
    is_described,
    locate,
    read_card,
    write,
)
from limner.store.knobs import CARD, json_knobs, parse_knobs
from limner.store.origin import Origin, remember
from limner.train.settings import Settings

if TYPE_CHECKING:
    from limner.encoders.features import FeatureNet
    from limner.encoders.recogniser import Recogniser
    from limner.models.class_to_image import ClassToImage
    from limner.models.limner import Limner
    from limner.models.text_to_image import TextToImage
    from limner.models.vision_language import VisionLanguageModel
    from limner.tokenizers.tokenizer import Codec

    Model: TypeAlias = TextToImage | ClassToImage | VisionLanguageModel | Limner | Codec

M = TypeVar("M")
Draws = Literal[
    "mar-emoji-64", "maskgit-emoji-64", "raster-emoji-64", "var-emoji-64", "var-emoji-64-small", "xar-emoji-64"
]
Tokenizes = Literal["multiscale-64", "titok-64", "vae-64", "vq-vae-64"]
PACKED_FROM = 30_000_000  # parameters from which packed weights are faster, see `limner.decode.packed`


def find_recipe(path: str) -> Recipe:
    """The recipe of a path such as ``generators/mar``; raises `InputError` if there is none."""
    family, _, name = path.partition("/")
    found = None
    if family.isidentifier() and name.isidentifier() and (PACKAGE / "recipes" / family / f"{name}.py").is_file():
        found = getattr(importlib.import_module(f"limner.recipes.{family}.{name}"), "RECIPE", None)
    if not isinstance(found, Recipe):
        raise InputError(f"there is no recipe {path!r}: `limner train` lists those there are")
    return found


def save(model: nn.Module, folder: Path, *, recipe: str, knobs: Settings, facts: dict[str, Any]) -> Path:
    """Write a model in bf16: its floating parameters halved, buffers and integers as they are.

    A generator over a tokenizer of one's own gets a copy of it, and a model made of folders of transformers a copy of
    all but their weights, so that its folder can be moved or given away. Raises `InputError` if the folder cannot be
    written.
    """
    return _write_built({"recipe": recipe, "knobs": json_knobs(knobs), **facts}, {}, model, folder)


def build(path: str, knobs: Settings) -> nn.Module:
    """The freshly initialised model of a recipe such as ``generators/mar``, which `limner.save` can save."""
    recipe = find_recipe(path)
    return _remembered(recipe.build(knobs), recipe, {"recipe": path, "knobs": json_knobs(knobs)}, {})


def _remembered(model: nn.Module, recipe: Recipe, card: dict[str, Any], carried: dict[str, str]) -> nn.Module:
    return remember(model, Origin(card, recipe.paper, partial(_write_built, card, carried)))


def _write_built(card: dict[str, Any], carried: dict[str, str], model: nn.Module, folder: Path) -> Path:
    """``carried``: folders that take the place of those that the knobs name."""
    parameters = {name for name, _ in model.named_parameters()}
    tensors: dict[str, Tensor] = {
        name: (value.to(torch.bfloat16) if name in parameters and value.is_floating_point() else value).contiguous()
        for name, value in model.state_dict().items()
    }
    return write(folder, tensors, card, carried)


@overload
def load(name: Draws, *, packed: bool | None = None) -> TextToImage: ...
@overload
def load(name: Tokenizes, *, packed: bool | None = None) -> Codec: ...
@overload
def load(name: Literal["limner-64"], *, packed: bool | None = None) -> Limner: ...
@overload
def load(name: Literal["features"], *, packed: bool | None = None) -> FeatureNet: ...
@overload
def load(name: Literal["recogniser"], *, packed: bool | None = None) -> Recogniser: ...
@overload
def load(
    name: str | Path,
    *,
    kind: type[M],
    tokenizer: str | Path | nn.Module | None = None,
    side: int | None = None,
    packed: bool | None = None,
) -> M: ...
@overload
def load(
    name: str | Path,
    *,
    tokenizer: str | Path | nn.Module | None = None,
    side: int | None = None,
    packed: bool | None = None,
) -> Any: ...


def load(
    name: str | Path,
    *,
    kind: type[Any] | None = None,
    tokenizer: str | Path | nn.Module | None = None,
    side: int | None = None,
    packed: bool | None = None,
) -> Any:
    """A finished model in evaluation mode, in fp32, on the CPU.

    Args:
        name: a model's name (``"mar-emoji-64"``) or folder, a file that the authors of a system published
            (``"var_d16.pth"``), or either on the Hugging Face Hub (``"hf:FoundationVision/var/var_d16.pth"``).
        kind: the class that is expected, such as `limner.TextToImage`: an editor then knows the model's methods.
        tokenizer: of a published generator, which then draws: a name as above, or the tokenizer itself.
        side: tokens on a side of the pictures of a published model whose weights do not determine it; None takes the
            usual number, and a tokenizer follows its generator.
        packed: lay out the weights of a model that draws for the CPU (`limner.nn.packing`), after which it cannot be
            trained on; None does so where it is faster, from 30 million parameters.

    Raises `InputError` if there is no such model, if it has no such choice or is of another kind, and `CheckpointError`
    if its files are damaged or, naming keys and shapes, if its weights do not fit its recipe.
    """
    path = _found(name)
    if path.is_file() or RELEASE in read_card(path):
        from limner.store.convert import load_published

        given = tokenizer if tokenizer is None or isinstance(tokenizer, nn.Module) else _found(tokenizer)
        model = load_published(path, given, side=side, load=_load_built)
    elif tokenizer is not None or side is not None:
        raise InputError(f"{name} knows its own tokenizer and grid: leave tokenizer and side out")
    else:
        model = _load_built(path)
    if kind is not None and not isinstance(model, kind):
        raise InputError(f"{name} is a {type(model).__name__}, not a {kind.__name__}: load it as what it is")
    _pack(model, packed)
    return model


def _pack(model: nn.Module, packed: bool | None) -> None:
    """Pack what draws in a model, where that is wanted or, with None, faster."""
    if packed is False or not hasattr(model, "draw"):
        return
    from limner.generators.generator import Generator

    for generator in [part for part in model.modules() if isinstance(part, Generator)]:
        large = sum(weight.numel() for weight in generator.parameters()) >= PACKED_FROM
        if packed or (large and torch.backends.mkldnn.is_available()):
            from limner.nn.packing import pack

            pack(generator)


def _found(name: str | Path) -> Path:
    """A file, or the folder of a model."""
    place = name
    if str(name).startswith(HUB):
        from limner.store.hub import download

        place = download(str(name))
    return Path(place) if Path(place).is_file() else locate(place)


def _load_built(folder: Path) -> nn.Module:
    """The model of a recipe's folder."""
    card = read_card(folder)
    recipe = recipe_of(card, folder)
    own = {knob: str(folder / knob) for knob in CARRIED if (folder / knob / CARD).is_file()}
    own |= {knob: str(folder / knob) for knob in DESCRIBED if is_described(str(folder / knob))}
    knobs = parse_knobs(recipe.knobs, {**card["knobs"], **own}, folder)
    for knob in CARRIED:
        if str(getattr(knobs, knob, "")).startswith(HUB):
            address = getattr(knobs, knob)
            raise InputError(
                f"{folder} is made of {address} on the Hub, which it does not carry: download that by "
                f"limner.load({address!r}), save it, and name its folder as {knob} in {CARD}"
            )
    tensors = checked_weights(folder, card)
    with buildable(folder / CARD, sum(tensor.numel() for tensor in tensors.values())):
        model = recipe.build(knobs)
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
