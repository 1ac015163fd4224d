"""One model over segments: what is learned is what is drawn, and ids and continuous tokens both are learned."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from limner.decode.decoder import Decoder
from limner.errors import InputError
from limner.generators.generator import Generator
from limner.generators.heads.categorical import CategoricalHead
from limner.generators.heads.diffusion import DiffusionHead
from limner.generators.heads.head import Head, SamplingOptions
from limner.generators.heads.words import WordHead
from limner.generators.orders import RandomMasked, Raster
from limner.languages.transformer import LanguageTransformer
from limner.train.loop import train
from limner.train.settings import Settings
from limner.train.task import Loss, Task
from limner.types import Layout, Rng
from limner.unified.drawing import CausalLanguageBackbone, LanguageBackbone, WordCondition, WordSpan
from limner.unified.model import Unified
from limner.unified.segments import Packed, Segment, lay_out

WORDS, WIDTH, COUNT, CHANNELS, PROMPT = 12, 48, 6, 3, 2
PROMPTS = ([1, 2], [1, 3], [2, 3], [3, 1])
ANSWERS = ([5, 6, 9], [7, 9], [8, 5, 5, 9], [6, 9])


def language() -> LanguageTransformer:
    torch.manual_seed(0)
    return LanguageTransformer(WORDS + 8, width=WIDTH, depth=2, heads=2, length=64)


def causal(own_table: bool = False) -> tuple[Unified, Generator]:
    """Liquid's way: ids of pictures, in a table of their own or in that of the words, one after the other."""
    words = language()
    head: Head = CategoricalHead(8, WIDTH) if own_table else WordHead(words)
    generator = Generator(
        layout=Layout(((COUNT,),)),
        order=Raster(),
        backbone=CausalLanguageBackbone(words, PROMPT, COUNT),
        head=head,
        condition=WordCondition(words, PROMPT),
    )
    return Unified(words, {}, {"drawn": head}), generator


def masked() -> tuple[Unified, Generator]:
    """Harmon's way: continuous tokens, some hidden, under a diffusion head."""
    words = language()
    head = DiffusionHead(CHANNELS, WIDTH, width=64, depth=2, steps=20, velocity=True, emphasis=1000.0)
    generator = Generator(
        layout=Layout(((COUNT,),)),
        order=RandomMasked(),
        backbone=LanguageBackbone(words, COUNT),
        head=head,
        condition=WordCondition(words, PROMPT),
        embed=WordSpan(CHANNELS, words.words, 4),
    )
    assert isinstance(generator.backbone, LanguageBackbone)
    assert generator.embed is not None
    inputs: dict[str, nn.Module] = {"drawn": generator.embed, "seen": nn.Linear(CHANNELS, WIDTH)}
    return Unified(words, inputs, {"drawn": head}, masking=generator.backbone), generator


def pictures(*, discrete: bool, offset: int = 0) -> Tensor:
    """One per prompt."""
    generator = torch.Generator().manual_seed(3)
    if discrete:
        return torch.randint(8, (len(PROMPTS), COUNT), generator=generator) + offset
    return torch.randn(len(PROMPTS), COUNT, CHANNELS, generator=generator)


def drawn_rows(shown: Tensor) -> list[list[Segment]]:
    """A prompt and its picture."""
    if shown.is_floating_point():
        return [
            [Segment("text", prompt), Segment("drawn", values=picture, learned=True, rule="masked")]
            for prompt, picture in zip(PROMPTS, shown, strict=True)
        ]
    return [
        [Segment("text", prompt), Segment("drawn", picture, learned=True)]
        for prompt, picture in zip(PROMPTS, shown, strict=True)
    ]


def seen_rows(shown: Tensor) -> list[list[Segment]]:
    """A picture, a question, its answer."""
    rows = []
    for picture, answer in zip(shown, ANSWERS, strict=True):
        seen = Segment("seen", values=picture, rule="full")
        if not shown.is_floating_point():
            seen = Segment("drawn", picture, rule="full")
        rows.append([seen, Segment("text", [4]), Segment("text", answer, learned=True)])
    return rows


def learn(model: Unified, generator: Generator, shown: Tensor, steps: int, folder: Path) -> list[dict[str, float]]:
    """Learn a handful of rows by heart; the losses of each step."""
    rows, history = [*drawn_rows(shown), *seen_rows(shown)], list[dict[str, float]]()

    def batch(start: int, size: int) -> dict[str, Tensor]:
        return lay_out([rows[index % len(rows)] for index in range(start, start + size)]).to_dict()

    def loss(model: nn.ModuleDict, batch: dict[str, Tensor], rng: Rng) -> Loss:
        losses = model["unified"].loss(Packed.from_dict(batch), rng)
        history.append({kind: float(loss.detach()) for kind, loss in losses.items()})
        return torch.stack(list(losses.values())).sum(), {kind: loss.detach() for kind, loss in losses.items()}

    task = Task(nn.ModuleDict({"unified": model, "condition": generator.condition}), batch, loss)
    settings = Settings(
        images=steps * 8, batch=8, lr=3e-3, warmup=80, ema=0, weight_decay=0.0, precision="fp32", seed=0
    )
    train(task, settings, folder, bar=False)
    return history


@torch.no_grad()
def answers(model: Unified, shown: Tensor) -> list[list[int]]:
    """The likeliest subword at every position that predicts one of an answer."""
    packed = lay_out(seen_rows(shown))
    found = model.language.logits(model.hidden(packed)).argmax(-1)
    learned = packed.learned("text")
    return [found[row, packed.sources[row, learned[row]]].tolist() for row in range(len(shown))]


@pytest.mark.parametrize("own_table", [False, True])
def test_ids_of_pictures_are_learned_drawn_and_answered_about(own_table: bool, tmp_path: Path) -> None:
    model, generator = causal(own_table)
    shown = pictures(discrete=True, offset=0 if own_table else WORDS)
    history = learn(model, generator, shown, 100, tmp_path)
    assert set(history[0]) == {"text", "drawn"}
    assert all(loss < 0.2 for loss in history[-1].values())
    assert answers(model, shown) == list(map(list, ANSWERS))
    for cached in (True, False):
        decoder = Decoder(generator, SamplingOptions(temperature=0.0), cached=cached)
        assert torch.equal(decoder(torch.tensor(PROMPTS), Rng(range(4))), shown)


def test_continuous_tokens_are_learned_drawn_and_answered_about(tmp_path: Path) -> None:
    model, generator = masked()
    shown = pictures(discrete=False)
    history = learn(model, generator, shown, 160, tmp_path)
    assert set(history[0]) == {"text", "drawn"}
    assert history[-1]["text"] < 0.2
    late, early = (sum(losses["drawn"] for losses in part) / 20 for part in (history[-20:], history[:20]))
    assert late < 0.3 * early
    assert answers(model, shown) == list(map(list, ANSWERS))
    drawn = Decoder(generator, SamplingOptions())(torch.tensor(PROMPTS), Rng(range(4)))
    nearest = (drawn[:, None] - shown[None]).flatten(2).square().mean(-1)
    assert nearest.argmin(1).tolist() == [0, 1, 2, 3]
    assert nearest.diagonal().max() < 0.3


@torch.no_grad()
def test_the_states_that_are_trained_are_those_that_are_drawn_from() -> None:
    model, generator = masked()
    shown = pictures(discrete=False)
    packed = lay_out(drawn_rows(shown))
    hidden = model.masks(packed, Rng(5))
    steps = hidden[packed.of("drawn")].view(len(shown), COUNT).long()
    prefix = generator.condition(torch.tensor(PROMPTS), torch.zeros(len(PROMPTS), dtype=torch.bool))
    everything = torch.arange(COUNT).expand(len(PROMPTS), -1)
    contexts = generator.contexts(shown, steps, prefix, everything)
    torch.testing.assert_close(model.hidden(packed, hidden)[:, PROMPT:], contexts)
    single = Rng(9)
    losses = generator.head.loss(contexts[steps > 0][None], shown[steps > 0][None], single)
    torch.testing.assert_close(
        model.losses(packed, model.hidden(packed, hidden), hidden, Rng(9))["drawn"], losses.mean()
    )


@torch.no_grad()
def test_causal_states_are_those_that_are_drawn_from() -> None:
    model, generator = causal()
    shown = pictures(discrete=True, offset=WORDS)
    packed = lay_out(drawn_rows(shown))
    prefix = generator.condition(torch.tensor(PROMPTS), torch.zeros(len(PROMPTS), dtype=torch.bool))
    steps = torch.arange(1, COUNT + 1).expand(len(PROMPTS), -1)
    contexts = generator.contexts(shown, steps, prefix, steps - 1)
    torch.testing.assert_close(model.hidden(packed)[:, PROMPT - 1 : -1], contexts)


def test_pictures_of_different_lengths_are_hidden_each_by_the_order() -> None:
    model, _ = masked()
    lengths = (6, 2, 6, 1, 4, 2)
    row = [Segment("drawn", values=torch.zeros(n, CHANNELS), learned=True, rule="masked") for n in lengths]
    packed = lay_out([row[:3], [Segment("text", [1]), *row[3:]]])
    seen = torch.zeros_like(packed.ids)
    for seed in range(40):
        hidden = model.masks(packed, Rng(seed))
        assert not (hidden & ~packed.masked()).any()
        for r in range(2):
            for block in packed.blocks[r].unique().tolist():
                if block:
                    assert hidden[r, packed.blocks[r] == block].any(), "a picture of which nothing is to be drawn"
        seen += hidden
    assert (seen[packed.masked()] > 0).all()


def test_pictures_in_any_order_teach_every_part() -> None:
    model, _ = masked()
    picture = torch.randn(4, CHANNELS)
    row = [
        Segment("text", [1, 2]),
        Segment("seen", values=picture, rule="full"),
        Segment("text", [3, 4], learned=True),
        Segment("drawn", values=picture, learned=True, rule="masked"),
        Segment("drawn", values=picture, rule="full"),
        Segment("text", [5, 6], learned=True),
        Segment("drawn", values=picture[:2], learned=True, rule="masked"),
    ]
    losses = model.loss(lay_out([row, row[::-1]]), Rng(0))
    assert set(losses) == {"text", "drawn"}
    torch.stack(list(losses.values())).sum().backward()
    missing = [name for name, parameter in model.named_parameters() if parameter.grad is None]
    assert all(name.startswith("heads.drawn.embed") for name in missing), missing  # its place is taken by the span


@pytest.mark.parametrize(
    ("make", "segment", "error"),
    [
        (
            causal,
            Segment("seen", values=torch.zeros(2, WIDTH), learned=True),
            "no head predicts them: give heads\\['seen'",
        ),
        (causal, Segment("drawn", [1, 2], learned=True, rule="masked"), "this model has none: give it masking"),
        (
            masked,
            Segment("drawn", values=torch.zeros(7, CHANNELS), learned=True, rule="masked"),
            "a picture has 7 tokens, but this model draws at most 6",
        ),
    ],
)
def test_what_the_model_lacks_is_named(
    make: Callable[[], tuple[Unified, Generator]], segment: Segment, error: str
) -> None:
    model, _ = make()
    with pytest.raises(InputError, match=error):
        model.loss(lay_out([[Segment("text", [1]), segment]]), Rng(0))
