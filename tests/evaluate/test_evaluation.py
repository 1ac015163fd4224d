"""Whole evaluations with small untrained judges: what is scored, with which protocol, and that it can be repeated."""

from __future__ import annotations

import json

import pytest
import torch


class Halving:
    """A tokenizer that keeps every 2x2 square's mean: real, lossy, and with known codes when ``levels`` are given."""

    size = 64

    def __init__(self, levels: int = 0) -> None:
        from limner.types import Layout

        self.layout, self.levels = Layout(((32, 32),)), levels

    def encode(self, image: torch.Tensor) -> torch.Tensor:
        small = torch.nn.functional.avg_pool2d(image, 2)
        if not self.levels:
            return small.flatten(2).transpose(1, 2)
        grey = (small.mean(1) + 1) / 2 * (self.levels - 1)
        return grey.round().long().flatten(1)

    def decode(self, tokens: torch.Tensor) -> torch.Tensor:
        if self.levels:
            tokens = (tokens[..., None].float() / (self.levels - 1) * 2 - 1).expand(-1, -1, 3)
        small = tokens.transpose(1, 2).unflatten(2, (32, 32))
        return torch.nn.functional.interpolate(small, scale_factor=2.0)


@pytest.fixture(scope="module")
def judge():
    from limner.encoders.features import FeatureNet

    torch.manual_seed(0)
    return FeatureNet(widths=(8, 8, 8), depths=(1, 1, 1), pooled_dim=8).eval()


@pytest.fixture(scope="module")
def recogniser():
    from limner.encoders.recogniser import Recogniser

    torch.manual_seed(0)
    return Recogniser(widths=(8, 8), name_dim=8).eval()


def test_a_tokenizer_is_scored_on_held_out_pictures(judge):
    from limner.evaluate.tokenizer import evaluate_tokenizer, held_out
    from limner.nn.pixels import to_tensor

    report = evaluate_tokenizer(Halving(), judge, model="halving", weights="none", count=12)
    assert json.loads(json.dumps(report)) == report
    assert list(report) == ["model", "protocol", "weights", "scores", "hash"]
    scores = report["scores"]
    assert set(scores) == {
        f"{metric}/{world}" for metric in ("psnr", "ssim", "frechet") for world in ("emoji", "scenes")
    }
    original = to_tensor(held_out(64, 12)["emoji"])
    rebuilt = Halving().decode(Halving().encode(original))
    psnr = [10 * torch.log10(4 / (a - b).square().mean()).item() for a, b in zip(original, rebuilt, strict=True)]
    assert scores["psnr/emoji"] == pytest.approx(sum(psnr) / 12, abs=1e-3)
    assert report == evaluate_tokenizer(Halving(), judge, model="halving", weights="none", count=12)


def test_codes_are_counted_for_discrete_tokens(judge):
    from limner.data.emoji import Emoji
    from limner.evaluate.tokenizer import evaluate_tokenizer, held_out
    from limner.nn.pixels import to_tensor

    scores = evaluate_tokenizer(Halving(8), judge, model="grey", weights="none", count=8, codebook_size=16)["scores"]
    emoji, sets = Emoji("train"), held_out(64, 8)
    ids = Halving(8).encode(to_tensor(sets["emoji"] + sets["scenes"] + [emoji[i].image for i in range(8)]))
    assert scores["codebook/usage"] == len(ids.unique()) / 16
    assert 1 < scores["codebook/perplexity"] < len(ids.unique())


def test_another_feature_net_is_another_protocol(judge):
    from limner.evaluate.tokenizer import evaluate_tokenizer

    def mean_colour(image: torch.Tensor) -> torch.Tensor:
        return image.mean(dim=(2, 3))

    one = evaluate_tokenizer(Halving(), judge, model="a", weights="b", count=4)
    two = evaluate_tokenizer(
        Halving(), judge, model="a", weights="b", count=4, feature_fn=mean_colour, feature_name="mean colour"
    )
    assert one["protocol"]["hash"] != two["protocol"]["hash"]
    assert two["protocol"]["judge"] == "mean colour"
    assert two["scores"]["frechet/emoji"] == pytest.approx(0.0, abs=1e-6)  # halving keeps the mean colour


def test_held_out_pictures_are_fixed_and_never_trained_on():
    from limner.data.emoji import Emoji
    from limner.evaluate.tokenizer import SCENES, held_out

    sets = held_out(32)
    assert len(sets["emoji"]) == len(Emoji("heldout"))
    assert len(sets["scenes"]) == SCENES
    assert all(picture.shape == (32, 32, 3) for picture in sets["emoji"] + sets["scenes"][:5])


def test_a_generator_is_scored_by_its_drawings_only(judge, recogniser):
    from limner.evaluate.generator import evaluate_generator
    from limner.evaluate.prompts import prompt_sets
    from limner.nn.pixels import to_tensor

    real = {p.text: p.picture for prompts in prompt_sets(8, 64, 8).values() for p in prompts}

    def copyist(prompts: list[str], seed: int) -> torch.Tensor:
        return to_tensor([real[prompt] for prompt in prompts])

    def dauber(prompts: list[str], seed: int) -> torch.Tensor:
        return torch.rand(len(prompts), 3, 64, 64, generator=torch.Generator().manual_seed(seed)) * 2 - 1

    def run(draw, seed: int = 0):
        return evaluate_generator(draw, recogniser, judge, model="m", weights="w", count=8, seed=seed)

    copied, daubed = run(copyist), run(dauber)
    names = {f"prompt/{part}" for part in ("colour", "shape", "size", "position", "count", "seen", "heldout", "pair")}
    names |= {"prompt/heldout_pair", "prompt/emoji_top1", "frechet/emoji", "frechet/scenes"}
    assert set(copied["scores"]) == names
    assert all(0 <= value <= 1 for name, value in copied["scores"].items() if name.startswith("prompt"))
    assert copied["scores"]["frechet/emoji"] < 1e-6 < daubed["scores"]["frechet/emoji"]
    assert copied["protocol"] == daubed["protocol"]
    assert run(dauber) == daubed
    other = run(dauber, seed=1)
    assert other["protocol"]["hash"] != daubed["protocol"]["hash"]
    assert other["scores"]["frechet/emoji"] != daubed["scores"]["frechet/emoji"]


def test_the_means_agree_with_the_whole_evaluation(judge, recogniser):
    from limner.evaluate.generator import evaluate_generator
    from limner.evaluate.prompts import score_prompts

    def draw(prompts: list[str], seed: int) -> torch.Tensor:
        return torch.rand(len(prompts), 3, 64, 64, generator=torch.Generator().manual_seed(seed)) * 2 - 1

    scores = evaluate_generator(draw, recogniser, judge, model="m", weights="w", count=4)["scores"]
    alone = score_prompts(draw, recogniser, count=4, num_emoji=4)
    assert alone == pytest.approx({name: value for name, value in scores.items() if name.startswith("prompt")})
