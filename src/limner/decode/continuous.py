"""Speculative decoding of continuous tokens: a small model draws, and the large one verifies many tokens in one pass.

Both run the reverse diffusion of a token from the same noise with the same draws, so that what they end with is close.
Of a token x, by the Gaussians N(mean, deviation) of their last steps, q of the drafter and p of the target, and the
product over channels of the ratio of the deviations of all steps before, r = prod (sigma_p / sigma_q),

    x stays    if  u < r p_T(x) / q_T(x),      u uniform in [0, 1), exponents of p and q over T^2
    else       x ~ (p - q / r)+, by proposals of p

The context of p is what was known when the last verification ended; all tokens drawn since are verified at once, each
by itself. Whether one stays or not, all of them are known then.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from limner.decode.step import Predictor, Progress, positions
from limner.errors import InputError
from limner.generators.generator import Generator
from limner.generators.heads.diffusion import DiffusionHead, Traced
from limner.generators.heads.head import Head, SamplingOptions
from limner.nn.transformer import put, take
from limner.types import Latents, Rng

TRIES = 100  # proposals, after which the target's own draw is taken


class Noise(NamedTuple):
    """Of every token: where its reverse process starts, and its draws, the first step's first."""

    start: Float[Tensor, "b n c"]
    draws: Float[Tensor, "b n steps c"]

    def trace(
        self, predictor: Predictor, contexts: Any, guided: bool, at: Int[Tensor, "b m"], options: SamplingOptions
    ) -> Traced:
        """Tokens at these positions."""
        steps = iter(take(self.draws, at).unbind(2))
        head = denoising(predictor.generator.head)
        return head.trace(contexts, guided, options, take(self.start, at), lambda: next(steps))


class Drawn(NamedTuple):
    """What a step remembers: up to which step tokens are verified, the drafter, the noise of all tokens, how those
    since were drawn; and of all drafts verified so far the share that stayed, with their number."""

    verified: int
    drafter: Predictor
    noise: Noise
    traced: Traced
    stayed: float = 0.0
    judged: int = 0


@dataclass(frozen=True)
class ContinuousSpeculative:
    """A step for a diffusion head.

    Args:
        drafter: a generator of the same tokens and conditions.
        prefill: share of the steps that the target draws itself at first; at least one.
        every: steps of the order from one verification to the next.
        temperature: T above.
        aligned: verify from the noise that was drafted from; otherwise from other noise, the control.
    """

    drafter: Generator
    prefill: float = 0.15
    every: int = 8
    temperature: float = 42.0
    aligned: bool = True

    def __post_init__(self) -> None:
        if self.every < 1 or not 0 <= self.prefill <= 1 or not self.temperature > 0:
            raise InputError("drafts are verified every 1 or more steps, after a prefill in [0, 1], at T above 0")
        denoising(self.drafter.head)

    def __call__(self, now: Progress, predictor: Predictor, rng: Rng) -> Progress:
        memory, options = now.memory, predictor.options[now.done]
        if memory is None:
            memory = self._begin(now, predictor, options, rng)
        total, step = len(predictor.options), now.done + 1
        by_target = now.done <= total * self.prefill
        targets, drawing = positions(now.steps == step), predictor if by_target else memory.drafter
        contexts, guided = drawing.contexts(now, targets)
        made = memory.noise.trace(drawing, contexts, guided, targets, options)
        traced = Traced(*(put(whole, targets, part) for whole, part in zip(memory.traced, made, strict=True)))
        now = Progress(put(now.tokens, targets, made.x), now.steps, step, memory._replace(traced=traced))
        if by_target:
            return now._replace(memory=now.memory._replace(verified=step))
        if (step - 1) % self.every == 0 or step == total:
            return self._verified(now, predictor, options, rng)
        return now

    def _begin(self, now: Progress, predictor: Predictor, options: SamplingOptions, rng: Rng) -> Drawn:
        head = denoising(predictor.generator.head)
        if options.solver is not None:
            raise InputError("a solver ends without a Gaussian to compare: leave out the solver or this technique")
        steps, shape = head.count_steps(options), (*now.tokens.shape[:2], head.channels)
        if denoising(self.drafter.head).count_steps(options) != steps:
            raise InputError("the drafter denoises in another number of steps: give --head-steps for both")
        noise = Noise(rng.normal(*shape), rng.normal(*shape[:2], steps, shape[2]))
        drafter = Predictor.of(self.drafter, predictor.options, predictor.given)
        return Drawn(0, drafter, noise, Traced(*(torch.zeros_like(noise.start) for _ in Traced._fields)))

    def _verified(self, now: Progress, predictor: Predictor, options: SamplingOptions, rng: Rng) -> Progress:
        memory = now.memory
        pending = positions((now.steps > memory.verified) & (now.steps <= now.done))
        alone = Predictor(
            predictor.generator, [options] * len(predictor.options), predictor.condition, None, predictor.given
        )
        contexts, guided = alone.contexts(now._replace(done=memory.verified), pending)
        noise = memory.noise
        if not self.aligned:
            noise = Noise(rng.normal(*noise.start.shape), rng.normal(*noise.draws.shape))
        p = noise.trace(alone, contexts, guided, pending, options)
        q = Traced(*(take(part, pending) for part in memory.traced))
        accepted = rng.uniform(*pending.shape) < ratio(p, q, q.x, self.temperature)
        tokens = torch.where(accepted[..., None], q.x, redrawn(p, q, accepted, rng))
        judged = memory.judged + accepted.numel()
        stayed = (memory.stayed * memory.judged + float(accepted.sum())) / judged
        memory = memory._replace(verified=now.done, stayed=stayed, judged=judged)
        return now._replace(tokens=put(now.tokens, pending, tokens), memory=memory)


def denoising(head: Head) -> DiffusionHead:
    """The head, if it draws by reverse diffusion; raises `InputError` otherwise."""
    if not isinstance(head, DiffusionHead):
        raise InputError(
            f"a {type(head).__name__} does not denoise token by token: choose a model such as mar-emoji-64"
        )
    return head


def shift(p: Traced, q: Traced) -> Float[Tensor, "b m"]:
    """log r, see above."""
    return (p.before - q.before).sum(-1)


def ratio(p: Traced, q: Traced, x: Latents, temperature: float) -> Float[Tensor, "b m"]:
    """``r p_T(x) / q_T(x)``; 0 where it is no number."""
    exponents = (((x - one.mean) / one.deviation / temperature).square().sum(-1) for one in (q, p))
    squares = next(exponents) - next(exponents)
    scales = (q.deviation.log() - p.deviation.log()).sum(-1)
    return (0.5 * squares + scales + shift(p, q)).exp().nan_to_num(0.0)


def residual_share(p: Traced, q: Traced, x: Latents) -> Float[Tensor, "b m"]:
    """``(p - q / r)+ / p`` at x: how often a proposal of p stays."""
    return (1.0 - (-ratio(p, q, x, 1.0).log()).exp()).clamp(0.0, 1.0)


def redrawn(p: Traced, q: Traced, accepted: Bool[Tensor, "b m"], rng: Rng) -> Latents:
    """A token of the residual for each that was refused, image by image; the target's own where no proposal stays."""
    found = p.x.clone()
    for image in range(len(found)):
        own = rng.row(image)
        one, other = (Traced(*(part[image : image + 1] for part in traced)) for traced in (p, q))
        open_ = ~accepted[image : image + 1]
        for _ in range(TRIES):
            if not open_.any():
                break
            proposal = one.mean + one.deviation * own.normal(*one.mean.shape)
            stays = open_ & (own.uniform(*open_.shape) < residual_share(one, other, proposal))
            found[image] = torch.where(stays[0, :, None], proposal[0], found[image])
            open_ = open_ & ~stays
    return found
