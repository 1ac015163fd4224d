"""MMStar audit: was the picture needed, and had training on pictures seen the test before?

Chen et al., "Are We on the Right Way for Evaluating Large Vision-Language Models?", arXiv:2403.20330. A model that sees
is scored with pictures and without, and so is its language base as it was before multi-modal training:
``MG = S_with - S_without``, ``ML = max(0, S_without - S_base)``. Questions are flagged that text alone answers, that
hold their answer, or that leaked. The authors drop a question that several of eight language models hit; here one model
in several orders of the options suffices, and flags are told from luck (`limner.evaluate.flags`).

    limner audit questions.jsonl --answers with.jsonl --blind blind.jsonl --base base.jsonl
    limner prove audits/mmstar                           # 6 minutes on one CPU core
"""

from __future__ import annotations

from limner.evaluate.audit import audit
from limner.recipe import Claim, Measure

RECIPE = Measure(
    system="mmstar",
    state="works",
    paper="arXiv:2403.20330",
    measure=audit,
    claims=(
        Claim(
            text="planted text-answerable, answer-in-question and leaked questions are found, precision and recall "
            "at least 0.9 for each flag",
            source="arXiv:2403.20330, Section 3",
        ),
        Claim(
            text="the multi-modal gain of a model trained with shuffled pictures is within 2 points of 0, with its own "
            "pictures at least 20",
            source="arXiv:2403.20330, Section 4.3",
        ),
    ),
)
