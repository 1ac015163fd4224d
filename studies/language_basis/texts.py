"""What the study's page says whatever was measured."""

from __future__ import annotations

from studies.language_basis.joint import CAPTIONS, HEAD_DEPTH, HEAD_WIDTH, RANK, SCENES, WEIGHT
from studies.language_basis.joint import STEPS as JOINT_STEPS
from studies.language_basis.plan import JOINT_RATES
from studies.language_basis.pretrained import TRAINING

CLAIMS = {
    "H1": "Unconstrained coefficients over all words are no constraint: the same as an MLP, and as random rows of the "
    "words' mean and covariance.",
    "H2": "Convex or sparse mixtures of words help only where data are short or features noisy.",
    "H3": "A quarter of the directions, or a tenth of the words, are enough; better bases need fewer; fine attributes "
    "need more.",
    "H4": "Coefficients that were learnt with one language model serve another with the same vocabulary.",
    "H5": "Giving the picture back (ROSS) repairs what words drop, and drawing it through the same words helps answers "
    "or is helped by them.",
}
HEADINGS = {
    "H1": "an empty constraint",
    "H2": "words where data are short or noisy",
    "H3": "how many vectors",
    "H4": "to another language model",
    "H5": "giving the picture back and drawing it",
}
DRAWING = f"""\
In the second half the language model learns too (its table of words does not): {JOINT_STEPS} steps of {SCENES} scenes
that are asked about, of {CAPTIONS} captions that are drawn ("large red heart top left": one large thing), or of both.
It draws by masked autoregression over 16 tokens of vae-64 with a diffusion head ({HEAD_WIDTH} wide, {HEAD_DEPTH}
blocks). Pictures are seen through the softmax over words; drawn tokens enter through the {RANK} first principal
directions of the same words, or by a linear layer of their own. Drawing weighs {WEIGHT:g} times as much as answering,
so that both pull the blocks alike. Drawings of 240 captions are judged by the recogniser: colour, shape and place count
alike, and true pictures of other captions are right in 10 %; the distance is Frechet's to the true pictures. The surer
of the two gains is judged. Rates were chosen among {", ".join(f"{one:g}" for one in JOINT_RATES)} with the first seed,
answers and drawings counting alike; all that learn both take the rate of what draws through the words."""
READING = """\
Nobody told the connectors which word belongs where. A thing's colour, shape, size and the first word of its place,
looked for among the five words that weigh most in a patch that the thing covers a quarter of:"""
WORLD = f"""\
Scenes of one to three things on white, 64 pixels, 12 shapes, 10 colours, 3 sizes, 9 places; questions of six kinds, up
to six a scene; {TRAINING:,} scenes to learn from, 500 to choose rates by, 1,000 to test by. The encoder (0.8M
parameters, 4 x 4 patches) was trained by SuperClass and by naming what lies in every patch. Each seed has a language
model of its own (width 64, two blocks, 256 subwords; the wider one 96), trained on descriptions of scenes with
questions and answers: half of the descriptions in words, half in 16 slots of several attributes each, as a picture has
them. Both are frozen; only the connector learns (but in the second half of H5). """
NEUTRAL = """\
The slots are sums of vectors that are no words and that each language model has for itself: neutral between words and
random rows. Without such slots (a pilot: descriptions in words alone) every connector ends where it names what is in
the picture and never says what belongs together, 64 % right, and there is nothing to compare. Whether anything carries
over to another language model by its words is then an open question; where language models have read mixtures of
words (`--mixtures`), there is more reason for it."""
MIXED = """\
The slots are sums of the vectors of words: these language models have been taught to read mixtures of words, which
favours bases of words. A language model that was not has less reason to."""
LIMITS = (
    "## What this does not say",
    """\
- A language model of 0.1M parameters reads 16 slots; nothing here is evidence about large ones.
- The world, the temperature of the softmax (1; 0.05, 0.2 and 3 were worse or the same) and the number of steps were
  set by pilots with one seed. After a first look two things were changed: losses are compared with their sign, for
  noise alone makes any two differ, and top-8 is scaled to the reach of the softmax that it follows.
- One encoder, one world, short trainings: arms that learn slowly are behind, which is not the same as being unable; the
  second look at H1 says how much of its difference is pace.
- Place and number stand for fine attributes; shades of colour are not in this world.
- In the second half of H5 whoever learns both takes as many steps of each loss as whoever learns one, and so the
  operations of both: only the arms that learn both are of equal cost. What is drawn, the steps, the weight of drawing
  and Muon's rate, half of the other, were set by pilots with the first seed until both could be learnt in part
  together; with a weight of 1 drawing hardly moved the blocks. One rate for two losses suits neither best; answers
  alone at the rate of both were added to the plan after a look at the first seed.
- Training has the same number of steps for few scenes as for many, and rates were chosen at all scenes by two seeds.
- One thing in six, small or slim and between patches, covers no patch by a quarter, so no symbol names it; what
  language models are taught of it is noise.
- Chance, in H4, is what the arm answers about another scene's picture; less than that is kept where what reaches the
  other language model misleads it.""",
)
