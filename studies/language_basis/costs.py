"""What an arm costs: numbers that are trained, and operations of a training step, counted by torch and not on paper.

A step is one forward and backward pass of a row of questions through connector and frozen language model.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from limner.languages.language import visibility
from limner.languages.transformer import LanguageTransformer
from studies.language_basis.arms import ARMS, Given, parameters
from studies.language_basis.pretrained import DEPTH, FEATURES, HEADS, WIDTH
from studies.language_basis.trial import BATCH
from studies.language_basis.world import SLOTS, VOCABULARY, seen

ASKED = 54  # slots of the questions of a row, on average


@dataclass(frozen=True)
class Cost:
    """Of one arm: ``parameters`` that are trained, ``operations`` of a step per picture (multiplications and
    additions), and those of the connector alone, forward."""

    parameters: int
    operations: int
    connector: int


def costs(names: tuple[str, ...] = tuple(ARMS)) -> dict[str, Cost]:
    """Of some arms, all on the same draws."""
    torch.manual_seed(0)
    language = LanguageTransformer(VOCABULARY, width=WIDTH, depth=DEPTH, heads=HEADS, length=128).requires_grad_(False)
    features = torch.randn(BATCH, SLOTS, FEATURES)
    given = Given(language.words.detach(), features, torch.arange(VOCABULARY), 2, 0)
    segments = functional.pad(torch.zeros(BATCH, SLOTS, dtype=torch.long), (0, ASKED), value=1)
    visible = visibility(segments, 1 - segments)
    asked = language.embed(torch.zeros(BATCH, ASKED, dtype=torch.long))
    places = torch.arange(SLOTS + ASKED).expand(BATCH, -1)
    found = {}
    for name in names:
        connector = ARMS[name].build(given).train()
        with FlopCounterMode(display=False) as alone, torch.no_grad():
            connector(seen(features), language.words)
        with FlopCounterMode(display=False) as whole:
            hidden = language(torch.cat([connector(seen(features), language.words), asked], 1), places, visible)
            language.logits(hidden[:, SLOTS:]).sum().backward()
        found[name] = Cost(parameters(connector), whole.get_total_flops() // BATCH, alone.get_total_flops() // BATCH)
    return found
