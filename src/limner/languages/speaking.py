"""Speaking: subword after subword, each drawn from what the language model makes of all before it."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Int
from torch import Tensor
from torch.nn import functional

from limner.languages.language import LanguageModel, Vectors
from limner.nn.transformer import take
from limner.types import Rng


@torch.no_grad()
def speak(
    language: LanguageModel,
    x: Vectors,
    visible: Bool[Tensor, "b n n"],
    lengths: Int[Tensor, "b"],
    *,
    stop: int,
    limit: int,
    temperature: float = 0.0,
    rng: Rng | None = None,
) -> Int[Tensor, "b spoken"]:
    """Go on from prompts.

    Args:
        language: who speaks.
        x: prompts as input vectors, row i padded on the right beyond ``lengths[i]``.
        visible: who sees whom in the prompts.
        lengths: slots of each prompt, at least 1.
        stop: id that ends a row; rows are filled with it after their end.
        limit: most subwords to speak.
        temperature: 0 takes the likeliest subword.
        rng: needed above 0, with one seed per row.
    """
    batch, prompt = x.shape[:2]
    places = torch.arange(prompt, device=x.device).expand(batch, -1)
    cache = language.cache(prompt + limit)
    hidden = take(language(x, places, visible, cache), (lengths - 1)[:, None])
    seen = functional.pad(places < lengths[:, None], (0, limit))
    ended = torch.zeros(batch, dtype=torch.bool, device=x.device)
    spoken: list[Tensor] = []
    while len(spoken) < limit and not ended.all():
        logits = language.logits(hidden)[:, 0].float()
        chosen = logits.argmax(-1) if temperature == 0 else _draw(logits / temperature, rng)
        chosen = chosen.masked_fill(ended, stop)
        ended = ended | (chosen == stop)
        seen[:, prompt + len(spoken)] = True
        spoken.append(chosen)
        now = prompt + len(spoken)
        place = (lengths + len(spoken) - 1)[:, None]
        hidden = language(language.embed(chosen[:, None]), place, seen[:, None, :now], cache)
    return torch.stack(spoken, 1)


def _draw(logits: Tensor, rng: Rng | None) -> Tensor:
    assert rng is not None, "a temperature above 0 needs draws"
    noise = rng.uniform(*logits.shape).clamp_min(1e-20)
    return (logits - (-noise.log()).log()).argmax(-1)  # Gumbel's trick
