"""VAE: a convolutional autoencoder with a Gaussian posterior, the continuous tokenizer that MAR draws with.

Kingma & Welling, arXiv:1312.6114; as a tokenizer with a small KL weight, Rombach et al., arXiv:2112.10752. Deviations
from the latter: no attention, channel LayerNorm for GroupNorm (fused on a CPU), a KL that is a mean, not a sum.

    limner train vae --out runs/vae                      # first stage of vae-64: 34 minutes on one CPU core
    limner train vae --data photos/ --out runs/own       # on a folder of your own pictures
    limner train vae --finetune runs/vae --l1 0 --lr 1e-3 --out runs/sharper    # its decoder alone, for the pixels
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from limner.data.emoji import Emoji
from limner.data.scenes import Scenes
from limner.data.source import Source
from limner.recipes.judging import tokenizer_scores
from limner.recipes.library import WEIGHTS, fill, load, locate, read_weights
from limner.recipes.recipe import Claim, Recipe
from limner.recipes.tokenizers.worlds import TokenizerTask, own_pictures, worlds
from limner.tokenizers.autoencoder import Autoencoder
from limner.tokenizers.discriminator import PatchDiscriminator
from limner.tokenizers.objective import ReconstructionObjective
from limner.tokenizers.perceptual import FeatureMaps
from limner.tokenizers.quantizers.continuous import Gaussian
from limner.tokenizers.quantizers.quantizer import Quantizer
from limner.train.settings import Settings


@dataclass(frozen=True, kw_only=True)
class Knobs(Settings):
    """A convolutional tokenizer."""

    data: Path | None = None
    """Folder of your own pictures; without it emoji, scenes and photographs."""
    finetune: str | None = None
    """Name or folder of a tokenizer whose decoder alone is trained on: its tokens stay as they are."""
    size: int = 64
    """Pixels on a side."""
    channels: int = 12
    """Channels of a latent; there are (size / 8) squared of them."""
    widths: tuple[int, ...] = (32, 96, 192)
    """Channels of the network per level, finest first; each level halves the picture."""
    encoder_depths: tuple[int, ...] = (1, 1, 1)
    """Residual blocks of the encoder per level."""
    decoder_depths: tuple[int, ...] = (1, 2, 2)
    """Residual blocks of the decoder per level."""
    l1: float = 0.5
    """Weight of the absolute difference of pixels."""
    l2: float = 1.0
    """Weight of the squared difference of pixels."""
    perceptual: float = 0.0
    """Weight of the difference in features."""
    adversarial: float = 0.0
    """Weight of the patch discriminator, times its adaptive weight."""
    kl: float = 1e-4
    """Weight of the KL to a standard normal."""
    images: int = 140_000
    batch: int = 32
    lr: float = 2e-3
    warmup: int = 4_000
    ema: int = 3_000
    sample_every: int = 20_000
    checkpoint_every: int = 20_000


def autoencoder(knobs: Knobs, quantizer: Quantizer) -> Autoencoder:
    """The convolutional autoencoder of these knobs around a quantizer."""
    return Autoencoder(
        quantizer,
        size=knobs.size,
        widths=knobs.widths,
        encoder_depths=knobs.encoder_depths,
        decoder_depths=knobs.decoder_depths,
    )


def tokenizer_task(knobs: Knobs, model: Autoencoder) -> TokenizerTask:
    """Train a tokenizer on the worlds or on the user's pictures."""
    if knobs.finetune is not None:
        source = locate(knobs.finetune)
        fill(model, read_weights(source / WEIGHTS), source)
        model.encoder.requires_grad_(False)
    if knobs.data is None:
        stream = worlds(knobs.size, knobs.seed)
        held_out: dict[str, Source] = {
            "emoji": Emoji("heldout", size=knobs.size),
            "scenes": Scenes(0, split="heldout", size=knobs.size, objects=(1, 4)),
        }
    else:
        from limner.data.folder import Folder

        stream = own_pictures(str(knobs.data), knobs.size, knobs.seed)
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
    return TokenizerTask(model, stream, objective, held_out)


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
