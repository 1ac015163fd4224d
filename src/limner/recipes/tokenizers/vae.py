"""VAE: a convolutional autoencoder with a Gaussian posterior, the continuous tokenizer that MAR draws with.

Kingma & Welling, arXiv:1312.6114; as a tokenizer with a small KL weight, Rombach et al., arXiv:2112.10752. Deviations
from the latter: no attention, channel LayerNorm for GroupNorm (fused on a CPU), a KL that is a mean, not a sum.

    limner train vae --out runs/vae                      # first stage of vae-64: 34 minutes on one CPU core
    limner train vae --data photos/ --out runs/own       # on a folder of your own pictures
    limner train vae --finetune runs/vae --l1 0 --lr 1e-3 --out runs/sharper    # its decoder alone, for the pixels
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from limner.data.emoji import Emoji
from limner.data.images import extent
from limner.data.scenes import Scenes
from limner.data.source import Source
from limner.data.stream import Padded
from limner.lessons import pictures as worlds
from limner.lessons.pictures import TokenizerTask
from limner.recipe import Claim, Recipe
from limner.recipes.scores import tokenizer_scores
from limner.store.files import WEIGHTS, fill, locate, read_weights
from limner.store.folder import load
from limner.tokenizers.autoencoder import Autoencoder
from limner.tokenizers.discriminator import PatchDiscriminator
from limner.tokenizers.objective import ReconstructionObjective
from limner.tokenizers.perceptual import FeatureMaps
from limner.tokenizers.quantizers.continuous import Gaussian
from limner.tokenizers.quantizers.quantizer import Quantizer
from limner.tokenizers.tokenizer import QuantizingTokenizer


@dataclass(frozen=True, kw_only=True)
class Knobs(worlds.Knobs):
    """A convolutional tokenizer; there is a latent for 8x8 pixels."""

    widths: tuple[int, ...] = (32, 96, 192)
    """Channels of the network per level, finest first; each level halves the picture."""
    encoder_depths: tuple[int, ...] = (1, 1, 1)
    """Residual blocks of the encoder per level."""
    decoder_depths: tuple[int, ...] = (1, 2, 2)
    """Residual blocks of the decoder per level."""
    kl: float = 1e-4
    """Weight of the KL to a standard normal."""


def autoencoder(knobs: Knobs, quantizer: Quantizer) -> Autoencoder:
    """The convolutional autoencoder of these knobs around a quantizer."""
    return Autoencoder(
        quantizer,
        size=knobs.size,
        widths=knobs.widths,
        encoder_depths=knobs.encoder_depths,
        decoder_depths=knobs.decoder_depths,
    )


def tokenizer_task(knobs: worlds.Knobs, model: nn.Module) -> TokenizerTask:
    """Train a tokenizer on the worlds or on the user's pictures."""
    if knobs.finetune is not None:
        source = locate(knobs.finetune)
        fill(model, read_weights(source / WEIGHTS), source)
        assert isinstance(model, QuantizingTokenizer)
        model.requires_grad_(False)
        model.decoder.requires_grad_(True)
    if knobs.data is None:
        stream, side = worlds.worlds(knobs.size, knobs.seed), min(extent(knobs.size))
        held_out: dict[str, Source] = {
            "emoji": Padded(Emoji("heldout", size=side), knobs.size),
            "scenes": Padded(Scenes(0, split="heldout", size=side, objects=(1, 4)), knobs.size),
        }
    else:
        from limner.data.folder import Folder

        stream = worlds.own_pictures(str(knobs.data), knobs.size, knobs.seed)
        held_out = {"own": Folder(knobs.data, size=knobs.size)}
    features: FeatureMaps | None = None
    if knobs.perceptual:
        features = load("features").maps
    objective = ReconstructionObjective(
        l1=knobs.l1,
        l2=knobs.l2,
        perceptual=knobs.perceptual,
        adversarial=knobs.adversarial,
        features=features,
        discriminator=PatchDiscriminator() if knobs.adversarial else None,
    )
    return TokenizerTask(model, stream, objective, held_out, objective.discriminator)


def build(knobs: Knobs) -> Autoencoder:
    """A freshly initialised VAE."""
    return autoencoder(knobs, Gaussian(knobs.channels, knobs.kl))


def task(knobs: Knobs) -> TokenizerTask:
    """How it is trained."""
    return tokenizer_task(knobs, build(knobs))


RECIPE = Recipe(
    system="vae",
    state="works",
    paper="arXiv:1312.6114",
    knobs=Knobs,
    build=build,
    task=task,
    score=tokenizer_scores,
    claims=(
        Claim(
            text="the same MAR draws better from VAE latents than from AE latents",
            source="arXiv:2406.11838, Section 4; arXiv:2112.10752, Section 3.1",
        ),
    ),
)
