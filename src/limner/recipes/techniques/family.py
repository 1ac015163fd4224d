"""What techniques share that draw with two models: one beside the other, of the same tokens and the same prompts."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from limner.errors import InputError
from limner.generators.generator import Generator
from limner.models.text_to_image import ImageGenerator
from limner.nn.borrowed import Borrowed
from limner.store.folder import load

SELF = "self"


def companion(model: ImageGenerator, name: str) -> Generator:
    """The generator of another model, by its name or folder, which from now on moves with ``model``; `SELF` is the
    model's own. Raises `InputError` if its tokens or its prompts are others, for nothing it says would mean the same.
    """
    if name == SELF:
        return model.generator
    other: Any = load(name)
    if not isinstance(other, ImageGenerator):
        raise InputError(f"{name} draws no images: choose a model of the same tokenizer")
    if (other.generator.count, other.patch) != (model.generator.count, model.patch) or not _alike(
        *(one.tokenizer for one in (model, other))
    ):
        raise InputError(f"{name} draws tokens of another tokenizer: choose a model that learned from the same one")
    if _prompts(other) != _prompts(model):
        raise InputError(f"{name} reads other subwords or classes: choose a model that learned from the same captions")
    other.generator.eval().requires_grad_(False)
    model.add_module("companion", Borrowed(other.generator))
    return other.generator


def _alike(one: Any, other: Any) -> bool:
    """Are two tokenizers the same, number by number?"""
    assert isinstance(one, nn.Module)
    assert isinstance(other, nn.Module)
    first, second = one.state_dict(), other.state_dict()
    return first.keys() == second.keys() and all(
        torch.equal(value, second[key]) if isinstance(value, torch.Tensor) else value == second[key]
        for key, value in first.items()
    )


def _prompts(model: ImageGenerator) -> tuple[Any, ...]:
    """What the condition's numbers stand for."""
    subwords = getattr(model, "subwords", None)
    if subwords is None:
        return (getattr(model, "classes", None),)
    return subwords.length, subwords.vocabulary.to_str()
