"""Ovis: visual words against an MLP of exactly as many parameters, and mixtures against one word."""

from __future__ import annotations

from limner.experiments.claims import better
from limner.experiments.understanding.arms import PARTS, PLAIN
from limner.experiments.world import FAMILIES, Arm

AS_MLP = {"entries": FAMILIES["understanding"]["width"]}  # head, norm and table then hold what its two layers hold
OVIS = Arm("ovis", "understanding/ovis", {**PARTS, **AS_MLP})
ONE = Arm("ovis-argmax", "understanding/ovis_argmax", {**PARTS, **AS_MLP})

CLAIMS = (better(OVIS, PLAIN, "answers"), better(OVIS, ONE, "answers"))
