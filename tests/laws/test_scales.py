"""Next-scale generators: a picture as a pyramid, drawn scale by scale, and changed in part."""

from __future__ import annotations

import pytest
import torch
from tests.parity.goldens import Replay
from torch import Tensor, nn

from limner.decode.decoder import Decoder, KnownTokens
from limner.decode.editing import places_that_stay, redraw
from limner.decode.schedules import Moment, cooling, with_steps
from limner.decode.smooth import smoothed, softness
from limner.errors import InputError
from limner.generators.generator import Generator
from limner.generators.heads.codes import CodeHead, MixingHead
from limner.generators.heads.head import SamplingOptions
from limner.generators.orders import Scales
from limner.store.official.var import VarSizes, VarTokenizerSizes, official_generator, official_tokenizer
from limner.tokenizers.scales import ScaleAutoencoder
from limner.types import Layout, Rng

SIDES, ENTRIES, CHANNELS = (1, 2, 4), 12, 3
LAYOUT = Layout(tuple((side, side) for side in SIDES))
LABELS, SEEDS = torch.tensor([1, 0, 2]), [7, 8, 9]


def tokenizer() -> ScaleAutoencoder:
    torch.manual_seed(0)
    sizes = VarTokenizerSizes(sides=SIDES, entries=ENTRIES, channels=CHANNELS, phis=2, width=32, multipliers=(1, 1))
    made = official_tokenizer(sizes).eval()
    nn.init.normal_(made.quantizer.codebook)
    return made


def generator(of: ScaleAutoencoder, *, shared: bool = False) -> Generator:
    """A random generator whose gates are open."""
    sizes = VarSizes(
        width=16, depth=2, heads=2, shared=shared, sides=SIDES, entries=ENTRIES, channels=CHANNELS, classes=3
    )
    made = official_generator(sizes, of.quantizer)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return made.eval()


def decoder(of: ScaleAutoencoder, guidance: float = 3.0, **options: bool) -> Decoder:
    return Decoder(
        generator(of), SamplingOptions(guidance=guidance, top_k=8, top_p=0.9), guidance=with_steps, **options
    )


# Order and schedules


def test_scales_follow_each_other() -> None:
    order = Scales()
    assert order.training_steps(2, LAYOUT, Rng(0)).tolist() == [[1] + [2] * 4 + [3] * 16] * 2
    assert torch.equal(order.decoding_steps(2, LAYOUT, 3, Rng(0)), order.training_steps(2, LAYOUT, Rng(0)))
    with pytest.raises(InputError, match="21 tokens in 3 steps, not 5"):
        order.decoding_steps(1, LAYOUT, 5, Rng(0))


def test_guidance_grows_and_heat_falls_with_the_scales() -> None:
    moments = [Moment(step, 3, 0, 1, 21) for step in (1, 2, 3)]
    assert [with_steps(2.5, moment) for moment in moments] == [1.0, 1.75, 2.5]
    assert [cooling(1.0, moment) for moment in moments] == pytest.approx([1.0, 1 / 1.5, 0.5])
    assert [softness(cooling(1.0, moment)) for moment in moments] == pytest.approx([0.27, 0.27 * 0.525, 0.0135])
    assert with_steps(2.5, Moment(1, 1, 0, 1, 1)) == 1.0


# Quantizer and tokenizer


def test_scales_add_up_to_the_features() -> None:
    """Each scale codes what is left by those before; the last sum is what the decoder reads."""
    quantizer = tokenizer().quantizer
    features = torch.randn(2, CHANNELS, 4, 4)
    ids = quantizer.tokens(features)
    sums = list(quantizer.sums(ids))
    assert ids.shape == (2, 21)
    left = features - sums[1]
    assert torch.equal(quantizer.nearest(left), ids[:, 5:])
    torch.testing.assert_close(sums[2] - sums[1], quantizer.spread(quantizer.rows(ids[:, 5:]), 2))
    assert torch.equal(quantizer.latents(ids, 4, 4), sums[2])
    torch.testing.assert_close(quantizer(features, Rng(0)).latents, sums[2])
    with pytest.raises(InputError, match="features are 2x2, but the last scale is 4x4"):
        quantizer.tokens(features[..., :2, :2])


def test_training_moves_codes_phis_and_features() -> None:
    """Codes and phis follow the features, the encoder is held to its codes, and the decoder's gradient passes."""
    quantizer = tokenizer().quantizer
    features = torch.randn(2, CHANNELS, 4, 4, requires_grad=True)
    bottleneck = quantizer(features, Rng(0))
    onward = torch.randn_like(features)
    (straight,) = torch.autograd.grad((bottleneck.latents * onward).sum(), features, retain_graph=True)
    torch.testing.assert_close(straight, onward)
    bottleneck.penalty.backward()
    sums = list(quantizer.sums(quantizer.tokens(features)))
    pull = sum(2 * 0.25 * (features - total) / features.numel() for total in sums) / len(sums)
    torch.testing.assert_close(features.grad, pull.detach())
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in quantizer.parameters())


def test_fewer_scales_decode_to_a_picture() -> None:
    made = tokenizer()
    ids = made.encode(torch.rand(2, 3, 8, 8) * 2 - 1)
    pictures = [made.decode(ids[:, :length]) for length in (1, 5, 21)]
    assert all(picture.shape == (2, 3, 8, 8) for picture in pictures)
    assert not torch.equal(pictures[1], pictures[2])
    with pytest.raises(
        InputError, match="6 tokens given, but this tokenizer's grid holds 21: give those, or the first"
    ):
        made.decode(ids[:, :6])
    with pytest.raises(InputError, match="image is 4x4 pixels"):
        made.encode(torch.zeros(1, 3, 4, 4))


# Generator


@pytest.mark.parametrize("shared", [False, True])
@torch.no_grad()
def test_contexts_read_coarser_scales_alone(shared: bool) -> None:
    """Ids of its own or a finer scale change no bit of a context; those of each coarser one do."""
    made = generator(tokenizer(), shared=shared)
    steps, wanted = made.order.training_steps(1, LAYOUT, Rng(0)), torch.arange(21)[None]
    prefix = made.condition(LABELS[:1], torch.zeros(1, dtype=torch.bool))
    ids = torch.randint(0, ENTRIES, (1, 21))
    before = made.contexts(ids, steps, prefix, wanted)
    for step in (1, 2, 3):
        changed = torch.where(steps == step, (ids + 1) % ENTRIES, ids)
        differs = (made.contexts(changed, steps, prefix, wanted) != before).any(-1)
        assert torch.equal(differs, steps > step)


@pytest.mark.parametrize("guidance", [1.0, 3.0])
def test_a_batch_is_its_pictures_one_by_one_with_and_without_a_cache(guidance: float) -> None:
    made = decoder(tokenizer(), guidance)
    together = made(LABELS, Rng(SEEDS))
    assert torch.equal(
        together, Decoder(made.generator, made.options, guidance=with_steps, cached=False)(LABELS, Rng(SEEDS))
    )
    for row, seed in enumerate(SEEDS):
        assert torch.equal(made(LABELS[row : row + 1], Rng([seed])), together[row : row + 1])
    assert not torch.equal(together[0], together[1])


@pytest.mark.parametrize("shared", [False, True])
def test_the_loss_reaches_every_parameter(shared: bool) -> None:
    made = generator(tokenizer(), shared=shared).train()
    for block in made.backbone.blocks:
        block.drop.share = 0.3
    torch.manual_seed(0)
    made.loss(torch.randint(0, ENTRIES, (16, 21)), torch.arange(16) % 3, Rng(1)).backward()
    assert [name for name, p in made.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_a_branch_left_out_is_made_up_for_by_others() -> None:
    """Stochastic depth leaves the mean of a branch as it is."""
    drop = generator(tokenizer()).backbone.blocks[0].train().drop
    drop.share = 0.25
    torch.manual_seed(0)
    branch = drop(torch.ones(4000, 1, 1))
    assert sorted(set(branch.flatten().tolist())) == pytest.approx([0.0, 4 / 3])
    assert float(branch.mean()) == pytest.approx(1.0, abs=0.03)
    assert torch.equal(drop.eval()(branch), branch)


def test_the_tokenizer_is_no_part_of_the_generator() -> None:
    of = tokenizer()
    made = generator(of)
    assert not any("quantizer" in name for name in made.state_dict())
    before = made.embed(torch.zeros(1, 21, dtype=torch.long))
    made.to(torch.float64)
    assert of.quantizer.codebook.dtype == torch.float32  # it sums up pictures in its own precision
    torch.testing.assert_close(made.embed(torch.zeros(1, 21, dtype=torch.long)), before.double())


# Mixtures of codes


def test_mixtures_of_codes_are_nearly_codes_at_the_end() -> None:
    of = tokenizer()
    seen: list[Tensor] = []
    tokens = smoothed(decoder(of), of.quantizer.codebook)(
        LABELS, Rng(SEEDS), watch=lambda step, total, tokens, steps: seen.append(tokens)
    )
    assert tokens.shape == (3, 21, CHANNELS)
    distance = torch.cdist(tokens, of.quantizer.codebook.expand(3, -1, -1)).amin(-1)
    assert distance[:, 5:].median() < 0.05
    assert distance[:, 0].max() > 1e-3
    assert not seen[0][:, 1:].any()
    assert of.decode(tokens).shape == (3, 3, 8, 8)


def test_a_mixture_is_a_softmax_of_noisy_logits() -> None:
    head, codebook = CodeHead(4, 2), torch.randn(4, 3)
    nn.init.normal_(head.output.weight)
    mixing, contexts = MixingHead(head, codebook, lambda heat: 0.5), torch.randn(1, 2, 2)
    uniform = torch.rand(1, 2, 4)
    drawn = mixing.sample(contexts, False, SamplingOptions(temperature=2.0), Replay(uniform=[uniform]))
    shares = ((head.logits(contexts) / 2.0 - (-uniform.log()).log()) / 0.5).softmax(-1)
    torch.testing.assert_close(drawn, shares @ codebook)
    likeliest = mixing.sample(contexts, False, SamplingOptions(temperature=0.0), Rng(0))
    assert torch.equal(likeliest, codebook[head.logits(contexts).argmax(-1)])
    ids = torch.tensor([[0, 3]])
    assert torch.equal(mixing.loss(contexts, ids, Rng(0)), head.loss(contexts, ids, Rng(0)))


# Pictures changed in part


def test_what_stays_at_each_scale() -> None:
    """The left half stays; of a scale of one token all does."""
    stays = torch.zeros(1, 8, 8, dtype=torch.bool)
    stays[:, :, :5] = True  # the third column of cells is half gone, so it goes
    places = places_that_stay(stays, LAYOUT)[0]
    assert places[0]
    assert places[1:5].tolist() == [True, False] * 2
    assert places[5:].tolist() == [True, True, False, False] * 4


def test_kept_tokens_stay_and_others_are_told_of_them() -> None:
    """Whatever is kept comes out, a picture kept whole is itself, and what is drawn depends on what is kept."""
    made = decoder(tokenizer())
    ids = torch.randint(0, ENTRIES, (3, 21), generator=torch.Generator().manual_seed(1))
    where = torch.zeros(3, 21, dtype=torch.bool)
    where[:, :3] = where[:, 8:10] = True
    drawn = made(LABELS, Rng(SEEDS), kept=KnownTokens(ids, where))
    assert torch.equal(drawn[where], ids[where])
    assert torch.equal(made(LABELS, Rng(SEEDS), kept=KnownTokens(ids, torch.ones_like(where))), ids)
    other = made(LABELS, Rng(SEEDS), kept=KnownTokens((ids + 1) % ENTRIES, where))
    assert not torch.equal(other[~where], drawn[~where])


@pytest.mark.parametrize("smooth", [False, True])
def test_redrawing_a_picture(smooth: bool) -> None:
    of = tokenizer()
    image = torch.rand(3, 3, 8, 8) * 2 - 1
    made = smoothed(decoder(of), of.quantizer.codebook) if smooth else decoder(of)
    everything = torch.ones(3, 8, 8, dtype=torch.bool)
    torch.testing.assert_close(
        redraw(made, of, image, everything, LABELS, Rng(SEEDS)), of.decode(of.encode(image)).detach()
    )
    stays = everything.clone()
    stays[:, 2:, 2:] = False
    by_class = [redraw(made, of, image, stays, torch.full((3,), label), Rng(SEEDS)) for label in (-1, 0, 2)]
    assert not torch.equal(by_class[0], by_class[1])
    assert not torch.equal(by_class[1], by_class[2])


def test_no_class_is_what_guidance_pushes_away_from() -> None:
    condition = generator(tokenizer()).condition
    none = condition(torch.tensor([-1]), torch.tensor([False]))
    assert torch.equal(none.prefix, condition(torch.tensor([2]), torch.tensor([True])).prefix)
