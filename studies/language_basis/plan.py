"""Which trials a hypothesis needs.

Learning rates are chosen first, on scenes that nothing learns from and nothing is tested by: three for every arm, with
the first two seeds and all scenes. A rank takes the rate of its family's `RANK`. What is chosen is then trained with
every seed and number of scenes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from studies.language_basis.arms import SHARES
from studies.language_basis.joint import JOINT, Joint
from studies.language_basis.pretrained import TRAINING
from studies.language_basis.trial import Trial

RATES = (3e-3, 1e-2, 3e-2)
TUNERS = (0, 1)  # seeds that rates are chosen by
MIDDLE = RATES[1]
GRID = (128, 400, 1280, 4000, TRAINING)  # scenes: 1, 3, 10, 31 and 100 %
FEW_SCENES = 400  # that pictures are given back of: of all, little is left to gain
RANK = 8
LONGER = 4  # times the steps, for a second look at H1
FAMILIES = ("svd", "clusters", "frequent", "subset", "random")
FREE = ("mlp", "mlp-preconditioned", "free-words", "free-matched", "free-permuted")
SIZED = ("mlp", "soft-words", "few-words", "soft-matched", "few-matched", "mlp-normed", "soft-learned")
RANKED = tuple(f"{family}-{rank}" for rank in (16, 8, 4, 32) for family in FAMILIES)
FREQUENT = tuple(f"soft-frequent-{count}" for count in SHARES)
CARRIED = ("mlp", "free-words", "soft-words", "few-words", "soft-matched")
ROSS = ("none", "denoising", "shuffled", "regression", "stopped")
JOINT_RATES = (2.5e-3, 5e-3, 1e-2)
JOINT_TUNERS = (0,)  # of the second half of H5: a training costs eight times as much
HYPOTHESES = ("H1", "H2", "H3", "H4", "H5")

Results: TypeAlias = Mapping[str, dict[str, Any]]  # contents of the files that there are, by name


@dataclass(frozen=True)
class Cell:
    """What is trained with every seed: arm, scenes, language model (the wider one or not), what pictures are given back
    by, and times the steps."""

    arm: str
    scenes: int = TRAINING
    wide: bool = False
    ross: str = "none"
    longer: int = 1

    def trial(self, seed: int, rate: float) -> Trial:
        """That of a seed."""
        return Trial(self.arm, seed, rate, self.scenes, self.wide, self.ross, self.longer)


def tutor(arm: str) -> str:
    """The arm whose learning rate an arm takes: mostly itself."""
    family = arm.rsplit("-", 1)[0]
    if family in FAMILIES:
        return f"{family}-{RANK}"
    return "soft-words" if arm in FREQUENT or arm.startswith("soft-words") else arm


def tuning(arm: str) -> list[Trial]:
    """The trials that an arm's rate is chosen by."""
    return [Trial(tutor(arm), seed, rate, TRAINING) for rate in RATES for seed in TUNERS]


def rate(arm: str, results: Results) -> float | None:
    """The rate with the best accuracy on scenes to check by; None while a trial is missing."""
    tried = tuning(arm)
    if any(trial.name not in results for trial in tried):
        return None
    return max(RATES, key=lambda one: sum(results[trial.name]["check"] for trial in tried if trial.rate == one))


def wanted(hypothesis: str) -> list[Cell]:
    """All that a hypothesis needs of a seed; what matters most comes first."""
    if hypothesis == "H1":
        return [Cell(arm) for arm in FREE] + [Cell(arm, longer=LONGER) for arm in FREE]
    if hypothesis == "H2":
        blocks = [(arms, sizes) for sizes in ((TRAINING, 400, 128), (1280, 4000)) for arms in (SIZED[:3], SIZED[3:])]
        return [Cell(arm, size) for arms, sizes in blocks for size in sizes for arm in arms]
    if hypothesis == "H3":
        return [Cell(arm) for arm in ("mlp", "free-words", "soft-words", *RANKED, *FREQUENT)]
    if hypothesis == "H4":
        return [Cell(arm) for arm in CARRIED] + [Cell(arm, wide=True) for arm in CARRIED if arm != "soft-matched"]
    backs = [Cell(arm, FEW_SCENES, ross=ross) for ross in ROSS for arm in ("mlp", "soft-words")]
    return backs + [Cell("soft-words-leak", FEW_SCENES, ross=ross) for ross in ROSS[:2]]


def trials(hypotheses: Sequence[str], seeds: int, results: Results) -> Iterator[Trial]:
    """What is missing, in order of urgency, all seeds of one arm together; rates are chosen right before they are
    used."""
    for hypothesis in hypotheses:
        for cell in wanted(hypothesis):
            for seed in range(seeds):
                yield from (trial for trial in tuning(cell.arm) if trial.name not in results)
                chosen = rate(cell.arm, results)
                if chosen is not None and (trial := cell.trial(seed, chosen)).name not in results:
                    yield trial


def joint_tuning(arm: str) -> list[Joint]:
    """The trainings by which the rate of an arm of the second half of H5 is chosen; whoever learns both takes that of
    whoever learns both through the words."""
    tutor = arm if arm in JOINT[:3] else "shared"
    return [Joint(tutor, seed, rate, TRAINING) for rate in JOINT_RATES for seed in JOINT_TUNERS]


def joint_rate(arm: str, results: Results) -> float | None:
    """The rate with the best answers and drawings on scenes to check by, which count alike; None while one is
    missing."""
    tried = joint_tuning(arm)
    if any(joint.name not in results for joint in tried):
        return None
    return max(JOINT_RATES, key=lambda one: sum(checked(results[joint.name]) for joint in tried if joint.rate == one))


def checked(result: Mapping[str, Any]) -> float:
    """What a training is worth on scenes to check by."""
    drawn = result["drawn"]["check"]["all"] if "drawn" in result else 0.0
    return result.get("check", 0.0) + drawn


def joints(seeds: int, results: Results) -> Iterator[Joint]:
    """What is missing of the second half of H5, in order of urgency: rates, then all arms of a seed together, then one
    control after another."""
    for arm in JOINT:
        yield from (joint for joint in joint_tuning(arm) if joint.name not in results)
    for arms in (JOINT[:4], JOINT[4:5], JOINT[5:]):
        for seed in range(seeds):
            for arm in arms:
                chosen = joint_rate(arm, results)
                assert chosen is not None, "all have just been tried"
                if (joint := Joint(arm, seed, chosen, TRAINING)).name not in results:
                    yield joint
