"""Visual supervision: the language model's hidden states at a picture must reconstruct it (Wang et al., ROSS,
arXiv:2410.09575, Eq. 4).

    hidden   last hidden states at the picture's tokens, [b m d]
    values   a `limner.unified.targets.Target` of the picture, [b m c]

    regression   M = |J(hidden) - values|^2, or 1 - cosine                                        (ROSS-R, Section 3.2)
    denoising    M = E |epsilon - J(values_t | t, hidden)|^2, several draws of t per picture      (ROSS-D, Section 3.3)

J belongs to the training alone and is not shipped. Rows without a picture are left out of the mean.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from limner.nn.whole_batch import Coupling, over_batch
from limner.processes import diffusion
from limner.processes.solvers import Solver, dpm_solver_2m, quiet_timesteps
from limner.types import Image, Rng
from limner.unified.denoiser import TokenDenoiser
from limner.unified.targets import Target, Values

Hidden = Float[Tensor, "b m d"]
# Ratio of noise to signal from which a solver draws. Hidden states condition on the picture, so no more is needed;
# from 80, where an error of epsilon counts 80 times, three minutes of training drew twice the squared error.
NOISIEST = 20.0


@runtime_checkable
class TargetObjective(Protocol):
    """J with its measure; a module."""

    def errors(self, hidden: Hidden, values: Values, rng: Rng) -> Float[Tensor, "b"]:
        """Error of the values predicted from hidden states, per picture."""

    def predict(self, hidden: Hidden, rng: Rng) -> Float[Tensor, "b m channels"]:
        """The values that hidden states predict."""


class Reconstruction(nn.Module):
    """``(hidden, image, has_picture, rng) -> loss``.

    Args:
        target: what is reconstructed; not part of this module's state.
        objective: how it is read off the hidden states.
        shuffled: a control: each picture's hidden states must reconstruct another picture of the batch.
        stopped: a control: the language model learns nothing from it.
        official_masking: the mean of the official code, in which rows without a picture count, their hidden states
            taken as zeros, and their ``image``, whatever it is, as their picture.
    """

    def __init__(
        self,
        target: Target,
        objective: TargetObjective,
        *,
        shuffled: bool = False,
        stopped: bool = False,
        official_masking: bool = False,
    ) -> None:
        super().__init__()
        self.target, self.objective = target, objective
        self.shuffled, self.stopped, self.official_masking = shuffled, stopped, official_masking

    @property
    def coupling(self) -> Coupling | None:
        """The control needs another picture."""
        return Coupling("its pictures are exchanged within the batch (a control)", 2) if self.shuffled else None

    def forward(self, hidden: Hidden, image: Image, has_picture: Bool[Tensor, "b"], rng: Rng) -> Float[Tensor, ""]:
        """Mean error over pictures; 0 where there is none."""
        if not has_picture.any():
            return over_batch(hidden.new_zeros((), dtype=torch.float32), 0, "reconstruction")
        if self.official_masking:
            hidden = torch.where(has_picture[:, None, None], hidden, 0.0)
        else:
            hidden, image = hidden[has_picture], image[has_picture]
        loss = self.loss(hidden, self.target.values(image, rng), rng)
        return over_batch(loss, len(hidden), "reconstruction")

    def loss(self, hidden: Hidden, values: Values, rng: Rng) -> Float[Tensor, ""]:
        """The same of the target's values, one picture per row, where these are at hand."""
        hidden = hidden.detach() if self.stopped else hidden
        return self.objective.errors(hidden, values.roll(1, 0) if self.shuffled else values, rng).mean()

    @torch.no_grad()
    def picture(self, hidden: Hidden, rng: Rng) -> Image | None:
        """The reconstruction from hidden states, if the target can be shown as pictures."""
        return self.target.picture(self.objective.predict(hidden, rng))


class Regression(nn.Module):
    """A small MLP from hidden states to values.

    Args:
        width: of the language model.
        channels: of the target.
        cosine: measure by the angle of every token and not by squares; lengths are then free.
    """

    def __init__(self, width: int, channels: int, *, cosine: bool = False) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.fc1, self.fc2 = nn.Linear(width, width), nn.Linear(width, channels)
        self.cosine = cosine

    def predict(self, hidden: Hidden, rng: Rng) -> Float[Tensor, "b m channels"]:
        return self.fc2(functional.gelu(self.fc1(self.norm(hidden)))).float()

    def errors(self, hidden: Hidden, values: Values, rng: Rng) -> Float[Tensor, "b"]:
        found = self.predict(hidden, rng)
        if self.cosine:
            return 1.0 - functional.cosine_similarity(found, values.float(), dim=-1).mean(1)
        return (found - values).square().mean((1, 2))


class Denoising(nn.Module):
    """Diffusion of the values by Ho et al.'s cosine schedule of 1000 steps, conditioned on hidden states.

    Args:
        width: of the language model.
        network: the denoiser.
        draws: noise levels per picture and training step.
        steps: of the reverse process when a picture is drawn.
        solver: follows the flow; None draws by the reverse process itself, as the paper does.
        learned_norm: let the LayerNorm on hidden states scale and shift channels.
    """

    def __init__(
        self,
        width: int,
        network: TokenDenoiser,
        *,
        draws: int = 4,
        steps: int = 25,
        solver: Solver | None = dpm_solver_2m,
        learned_norm: bool = False,
    ) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, elementwise_affine=learned_norm)
        self.network = network
        self.draws, self.steps, self.solver = draws, steps, solver
        self.schedule = diffusion.cosine_schedule()

    def errors(self, hidden: Hidden, values: Values, rng: Rng) -> Float[Tensor, "b"]:
        return self.losses(hidden, values, rng).mean(0)

    def losses(self, hidden: Hidden, values: Values, rng: Rng) -> Float[Tensor, "draws b"]:
        """Squared error of the noise, with the bound that teaches a learned variance; a mean over the picture."""
        batch, count, channels = values.shape
        draw = rng.along(1)
        t = (draw.uniform(self.draws, batch) * len(self.schedule)).long().flatten()
        noise = draw.normal(self.draws, batch, count, channels).flatten(0, 1)
        condition = self.network.read(self.norm(hidden)).repeat(self.draws, 1, 1)
        values, every = values.float().repeat(self.draws, 1, 1), t[:, None].expand(-1, count)
        if self.network.learned_variance:
            error, bound = diffusion.denoising_losses(
                lambda x, _: self.network(x, t, condition), self.schedule, values, every, noise
            )
            error = error + bound
        else:
            noisy = diffusion.add_noise(self.schedule, values, every, noise)
            error = (noise - self.network(noisy, t, condition).float()).square().mean(-1)
        return error.mean(1).unflatten(0, (self.draws, batch))

    def predict(self, hidden: Hidden, rng: Rng, *, temperature: float = 1.0) -> Float[Tensor, "b m channels"]:
        """Values drawn from noise; ``temperature`` scales it: that of every step, or for a solver that of the start."""
        condition = self.network.read(self.norm(hidden))
        shape = (*condition.shape[:2], self.network.channels)

        def answer(x: Tensor, t: Tensor) -> Tensor:
            """``[epsilon | v]``; v of 1 is the largest variance, that of a process whose variance is not learned."""
            output = self.network(x, t.flatten()[:1].expand(len(x)), condition).float()
            return output if self.network.learned_variance else torch.cat([output, torch.ones_like(output)], dim=-1)

        def epsilon(x: Tensor, t: int) -> Tensor:
            return answer(x, torch.tensor([t], device=x.device))[..., : shape[-1]]

        start = rng.normal(*shape)
        if self.solver is not None:
            timesteps = quiet_timesteps(self.schedule, self.steps, NOISIEST)
            return self.solver(epsilon, self.schedule, timesteps, temperature * start)
        schedule = diffusion.respaced(self.schedule, self.steps)
        return diffusion.sample(answer, schedule, start, lambda: rng.normal(*shape), temperature=temperature)
