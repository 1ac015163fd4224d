"""limner: one language model that answers about pictures and draws them, in its own words.

Four published systems around one small transformer, trained together on the embedded worlds:

    encoder          a vision transformer that names subwords of captions   SuperClass, arXiv:2411.03313
    connector        patches as combinations of the model's own words       language basis, arXiv:2503.19404, 2502.01341
    reconstruction   hidden states at a picture must denoise its latents    ROSS-D, arXiv:2410.09575
    generation       masked autoregression with a diffusion head            MAR, arXiv:2406.11838

    L = L_answers + w_r L_reconstruction + w_g L_grounding + w_d L_drawing

SuperClass learns which words a picture holds, not where: every patch gets the words of the whole. Grounding is the
cross-entropy between a patch's mixture and the words of what it shows, which the scenes know. Known tokens of a
generated picture enter through the principal directions of the same table of words.

    limner train superclass --out runs/superclass
    limner train limner --encoder runs/superclass --out runs/limner
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch

from limner.connectors.basis import LanguageBasis
from limner.data.naming import Worlds
from limner.generators.generator import Generator
from limner.generators.heads.diffusion import DiffusionHead
from limner.generators.orders import RandomMasked
from limner.languages.subwords import Subwords
from limner.models.limner import Limner
from limner.models.vision_language import VisionLanguageModel
from limner.recipe import EvaluationRequest, Recipe
from limner.recipes.generators.family import frozen_tokenizer
from limner.recipes.understanding import language_basis
from limner.recipes.understanding.family import TINY, SmallKnobs, small_encoder, small_language
from limner.recipes.understanding.language_basis import MEASURED
from limner.tokenizers.autoencoder import Autoencoder
from limner.train.settings import RARE
from limner.train.task import Task
from limner.unified.drawing import LanguageBackbone, WordCondition, WordSpan

if TYPE_CHECKING:
    from limner.unified.reconstruction import Reconstruction

SHARES = (0.25, 0.3, 0.15, 0.15, 0.15)  # of emoji, and of scenes of one thing and of two, see `captioned_worlds`

OFTEN = {
    "relation": 16.0,
    "size": 4.0,
    "position": 2.0,
}  # kinds of question that come more often: those learned last


@dataclass(frozen=True, kw_only=True)
class Knobs(SmallKnobs):
    """A model that sees and draws."""

    encoder: str | None = None
    """Name or folder of a SuperClass, which goes on learning and whose classifier scores the words of a patch; without
    one both are trained from the start, which takes far longer."""
    vocabulary: int = 1536
    """Subwords there are."""
    tokenizer: str = "vae-64"
    """Name or folder of the tokenizer whose latents are generated, and reconstructed from hidden states."""
    folded: int = 2
    """Latents on a side that make one generated token."""
    rank: int = field(default=64, metadata=RARE)
    """Principal directions of the words through which generated tokens enter."""
    text_length: int = field(default=18, metadata=RARE)
    """Subwords of a caption to draw."""
    scenes: int = 15_000
    """Scenes of each of four kinds that are tokenized, to learn to draw."""
    head_width: int = 256
    """Width of the denoising MLP."""
    head_depth: int = 3
    """Blocks of the denoising MLP."""
    head_steps: int = field(default=50, metadata=RARE)
    """Steps of the reverse process that samples a token."""
    denoiser_width: int = field(default=96, metadata=RARE)
    """Width of the denoiser of reconstruction (ROSS), which is not shipped."""
    draws: int = field(default=1, metadata=RARE)
    """Noise levels per picture and step of reconstruction."""
    drawn: int = field(default=2, metadata=RARE)
    """Captions with pictures to generate, per conversation."""
    drawing: float = 1.0
    """Weight of generation beside answers."""
    reconstruction: float = 0.5
    """Weight of reconstruction."""
    grounding: float = 0.5
    """Weight of the words of each patch."""
    guidance: float = 3.0
    """Guidance that the finished model draws with."""
    images: int = 120_000
    muon: float = 2e-3
    sample_every: int = 10_000
    checkpoint_every: int = 5_000


def build(knobs: Knobs) -> Limner:
    """A freshly initialised model."""
    encoder, language = small_encoder(knobs), small_language(knobs)
    words, subwords = language.words.detach(), Subwords(knobs.text_length)
    connector = language_basis.connector(language_basis.Knobs(), encoder.width, words, None)
    connector.settle(words, torch.randn(1, (knobs.size // knobs.patch) ** 2, encoder.width))
    model = VisionLanguageModel(encoder, connector, language, subwords, learns_to_see=True, placed=True)
    tokenizer = frozen_tokenizer(knobs.tokenizer, discrete=False, patch=knobs.folded)
    channels, layout = tokenizer.quantizer.channels * knobs.folded**2, tokenizer.layout.patched(knobs.folded)
    size = {"width": knobs.head_width, "depth": knobs.head_depth, "steps": knobs.head_steps}
    head = DiffusionHead(channels, knobs.width, **size, velocity=True, emphasis=1000.0)
    generator = Generator(
        layout=layout,
        order=RandomMasked(),
        backbone=LanguageBackbone(language, layout.length),
        head=head,
        condition=WordCondition(language, knobs.text_length),
        embed=WordSpan(channels, language.words, knobs.rank),
    )
    return Limner(model, generator, subwords, tokenizer, patch=knobs.folded, guidance=knobs.guidance, naming=Worlds())


def lesson(knobs: Knobs, model: Limner) -> Task[Limner, list[Any]]:
    """Training on questions about scenes and on captioned pictures at once; errors as those of `start_encoder` and
    `start_scores`."""
    from limner.lessons.captions import text_to_image_task, tokenized_worlds
    from limner.lessons.conversations import ConversationLesson, scene_held_out, scene_sources, texts
    from limner.lessons.grounding import GroundedConversations
    from limner.lessons.joint import JointPart, drawing, joint_task
    from limner.recipes.understanding.start import start_encoder, start_scores

    reader, subwords = model.vision_language, model.subwords
    tokenizer, basis = cast(Autoencoder, model.tokenizer), cast(LanguageBasis, reader.connector)
    pictures = tokenized_worlds(tokenizer, knobs.scenes, knobs.seed, (knobs.out or Path("runs")) / "cache")
    sources = scene_sources(knobs.size, knobs.turns, knobs.seed, OFTEN)
    size, length, every = knobs.vocabulary, knobs.text_length, chain(texts(sources), pictures.captions)
    subwords.vocabulary = Subwords.trained(every, size=size, length=length, speaks=True).vocabulary
    start_encoder(knobs, reader)
    if knobs.encoder is not None:
        start_scores(knobs.encoder, basis, subwords, range(size))
    answers = ConversationLesson(reader, sources, scene_held_out(knobs.size))
    reconstructed = reconstruction(knobs, reader, tokenizer)
    scenes, grid = [one.scenes for one in sources], knobs.size // knobs.patch
    grounded = GroundedConversations(answers.batch, scenes, subwords, grid, reconstructed)
    drawn = text_to_image_task(model, pictures, SHARES, seed=knobs.seed)
    with torch.no_grad():
        basis.settle(reader.language.words, reader.encoder(answers.batch(0, MEASURED)["image"]).vectors)
    generated = drawing(drawn.batch, model.generator.drop, knobs.seed, times=knobs.drawn)
    return joint_task(
        model,
        [JointPart(grounded.batch, grounded.losses), generated],
        {"reconstruction": knobs.reconstruction, "grounding": knobs.grounding, "drawn": knobs.drawing},
        extra=reconstructed,
        preview=drawn.preview,
        validate=lambda trained: answers.validate(trained.vision_language),
    )


def reconstruction(knobs: Knobs, model: VisionLanguageModel, tokenizer: Autoencoder) -> Reconstruction:
    """Denoising of a picture's latents, conditioned on the hidden states at its tokens."""
    from limner.unified.denoiser import TokenDenoiser
    from limner.unified.reconstruction import Denoising, Reconstruction
    from limner.unified.targets import FoldedLatents, side_of

    target = FoldedLatents(tokenizer, tokenizer.quantizer.channels, model.image_tokens)
    side, width = side_of(model.image_tokens), knobs.denoiser_width
    network = TokenDenoiser(target.channels, knobs.width, side, width=width, depth=3, heads=max(width // 32, 1))
    return Reconstruction(target, Denoising(knobs.width, network, draws=knobs.draws))


def score(model: Limner, request: EvaluationRequest) -> dict[str, Any]:
    """Answers, as `vision_language_scores`, and drawings, as `generator_scores`, unless the user's data are questions,
    which ask for no drawing."""
    from limner.evaluate.report import merged
    from limner.recipes.scores import generator_scores, vision_language_scores

    answers = vision_language_scores(model.vision_language, request)
    if request.data is not None and Path(request.data).suffix in (".json", ".jsonl"):
        return answers
    return merged(answers, generator_scores(model, request))


RECIPE = Recipe(
    state="works",
    paper="arXiv:2503.19404",
    knobs=Knobs,
    build=build,
    lesson=lesson,
    score=score,
    tiny={
        **TINY,
        "vocabulary": 512,
        "text_length": 48,
        "scenes": 8,
        "rank": 16,
        "head_width": 16,
        "head_depth": 1,
        "denoiser_width": 32,
    },
)
