"""What is measured of a trained connector, besides its loss.

accuracy     answers that are right to the last subword, by kind of question; greedy speech says the same
noise        the same with Gaussian noise of some deviations added to the features, and how far vectors turn by it,
             seen from their mean
rank         the same with vectors flattened to their own principal directions
swap         the same in front of another language model, untrained: the words of that model, or a least-squares map
words        how often the words of a thing are among the five that weigh most where it lies
blind        the language model alone, and with another scene's picture
"""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from limner.connectors.basis import LanguageBasis, Leak
from limner.connectors.connector import WordMixture
from limner.languages.language import LanguageModel
from limner.languages.subwords import Subwords
from limner.models.vision_language import VisionLanguageModel
from limner.types import Rng, derive_seed
from limner.unified.segments import NOTHING, PADDING, Packed
from studies.language_basis.controls import flattened, least_squares, permutation
from studies.language_basis.world import KINDS, Pool, seen, words_of_symbols

PART = 250  # scenes at a time
SIGMAS = (0.5, 1.0, 2.0, 3.0)  # in deviations of a feature
READ = 5
Vectors = Float[Tensor, "n slots d"]


class Measured:
    """Scores of a trained model that sees, on scenes to check learning rates by and on scenes to test by."""

    def __init__(self, model: VisionLanguageModel, check: Pool, test: Pool, seed: int) -> None:
        self.model, self.check, self.test, self.seed = model, check, test, seed
        self.clean = self.vectors(test.features)

    def scores(self) -> dict[str, Any]:
        """Accuracies, and what can be read of the connector itself."""
        connector = self.model.connector
        found: dict[str, Any] = {
            "check": accuracy(self.model, self.check, self.vectors(self.check.features))["all"],
            "test": accuracy(self.model, self.test, self.clean),
        }
        if not isinstance(connector, LanguageBasis):
            return found
        found["words"] = self.named(connector)
        found["gain"] = round(float(connector.log_gain.detach().exp()), 3) if connector.log_gain is not None else 1.0
        if connector.leak is not None:
            found["leak"] = self.leaked(connector.leak)
        return found

    def others(self) -> float:
        """Accuracy in front of another scene."""
        return accuracy(self.model, self.test, self.clean.roll(1, 0))["all"]

    @torch.no_grad()
    def leaked(self, leak: Leak) -> float:
        """Length of what a leak adds, in lengths of the vectors less their mean."""
        added = leak(self.test.features)
        return round(float(added.norm() / (self.clean - self.clean.mean((0, 1))).norm()), 4)

    @torch.no_grad()
    def vectors(self, features: Float[Tensor, "n slots f"]) -> Vectors:
        """What the connector makes of features."""
        words = self.model.language.words
        return torch.cat([self.model.connector(seen(part), words) for part in features.split(PART)])

    def flat(self, rank: int) -> float:
        """Accuracy of vectors in their own principal directions."""
        return accuracy(self.model, self.test, flattened(self.clean, rank))["all"]

    def noisy(self, sigma: float) -> dict[str, float]:
        """Accuracy under noise, and the mean cosine distance that it causes between vectors less their mean."""
        features, clean = self.test.features, self.clean
        noise = Rng(derive_seed(self.seed, "noise")).normal(*features.shape)
        vectors = self.vectors(features + sigma * features.std() * noise)
        mean = clean.mean((0, 1))
        turned = 1.0 - functional.cosine_similarity(vectors - mean, clean - mean, dim=-1).mean()
        return {"all": accuracy(self.model, self.test, vectors)["all"], "turned": round(float(turned), 4)}

    @torch.no_grad()
    def named(self, connector: WordMixture) -> dict[str, float]:
        """Shares of patches on a thing in whose top words its colour, shape and size are found."""
        ids, _ = connector.top_words(seen(self.test.features), self.model.language.words, READ)
        words = words_of_symbols(cast(Subwords, self.model.vocabulary))
        held = (ids[..., None] == words[self.test.symbols.long()][:, :, None]).any(2)
        on = self.test.symbols[..., 0] > 0
        named = ("colour", "shape", "size", "place")
        return {name: round(float(held[..., at][on].float().mean()), 4) for at, name in enumerate(named)}

    @torch.no_grad()
    def swapped(self, other: LanguageModel) -> dict[str, float]:
        """Accuracy in front of another language model, nothing trained: by its words, or by a map between words; as a
        control by its words in another order."""
        old, new = self.model.language.words.detach(), other.words.detach()
        model = VisionLanguageModel(self.model.encoder, self.model.connector, other, self.model.vocabulary)
        if not isinstance(self.model.connector, LanguageBasis):
            vectors = new.mean(0) + (self.clean - old.mean(0)) @ least_squares(old, new)
            return {"map": accuracy(model, self.test, vectors)["all"]}
        found = {}
        for name, words in (("words", new), ("permuted", new[permutation(len(new), derive_seed(self.seed, "swap"))])):
            connector = copy.deepcopy(self.model.connector)
            connector.swap(self.test.features[:PART], old, words)
            vectors = torch.cat([connector(seen(part), words) for part in self.test.features.split(PART)])
            found[name] = accuracy(model, self.test, vectors)["all"]
        return found


@torch.no_grad()
def accuracy(model: VisionLanguageModel, pool: Pool, vectors: Vectors | None) -> dict[str, float]:
    """Shares of right answers, of all questions and by kind; without vectors, of the language model alone."""
    right, kinds = [], []
    for index in torch.arange(len(pool.rows)).split(PART):
        rows = pool.rows.take(index)
        packed = rows.packed if vectors is not None else blindfolded(rows.packed)
        hidden = model.hidden(packed, None if vectors is None else vectors[index])
        right.append(answered(model.language, packed, hidden, rows.kinds.shape[1]))
        kinds.append(rows.kinds)
    scored, kind = torch.cat(right), torch.cat(kinds)
    found = {"all": round(float(scored[kind >= 0].float().mean()), 4)}
    for number, name in enumerate(KINDS):
        found[name] = round(float(scored[kind == number].float().mean()), 4)
    return found


def answered(language: LanguageModel, packed: Packed, hidden: Tensor, turns: int) -> Tensor:
    """``[b turns]``: was every subword of the answer the likeliest?"""
    targets = packed.targets
    learned = targets != NOTHING
    wrong = torch.zeros_like(packed.ids)
    wrong[learned] = (language.logits(hidden[learned][None])[0].argmax(-1) != targets[learned]).long()
    missed = torch.zeros(len(wrong), turns + 1, dtype=torch.long)
    return missed.scatter_add(1, packed.branches.clamp_min(0), wrong)[:, 1:] == 0


def blindfolded(packed: Packed) -> Packed:
    """The same conversations with nobody seeing the picture's tokens."""
    return replace(packed, branches=packed.branches.masked_fill(packed.blocks > 0, PADDING))


def without_pictures(model: VisionLanguageModel, pool: Pool, vectors: Vectors) -> dict[str, dict[str, float]]:
    """Baselines: the language model alone, and with another scene's picture."""
    return {"blind": accuracy(model, pool, None), "shuffled": accuracy(model, pool, vectors.roll(1, 0))}
