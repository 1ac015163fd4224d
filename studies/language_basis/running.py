"""Runs what is missing of a study, and reads what there is.

A study is a folder: ``world`` holds what is made once, ``trials`` one small file per training. Whoever stops it loses
the training at hand and nothing else.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from limner.errors import InputError
from studies.language_basis import joint as joints_of
from studies.language_basis import trial as trials_of
from studies.language_basis.facts import facts
from studies.language_basis.plan import joints, trials
from studies.language_basis.pretrained import Pretrained


@dataclass(frozen=True)
class Study:
    """How a study is run: ``folder`` of its trainings, ``seeds`` of each, ``hypotheses`` in order of urgency, ``scale``
    of steps and scenes, ``minutes`` after which it stops (0: none), and whether language models have read ``mixtures``
    of words."""

    folder: Path
    seeds: int
    hypotheses: Sequence[str]
    scale: float
    minutes: float
    say: Callable[[str], None]
    mixtures: bool = False

    def run(self) -> bool:
        """Train what is missing; False if time ran out before all was there."""
        began = time.monotonic()
        self._settle()
        pretrained = Pretrained(self.folder / "world", self.scale, self.say, self.mixtures)
        results = read(self.folder)
        on = trials_of.bench(pretrained)
        for seed in range(self.seeds):
            if f"facts-{seed}" not in results:
                results[f"facts-{seed}"] = self._kept(f"facts-{seed}", facts(on, seed))
        for trial in trials(self.hypotheses, self.seeds, results):
            if 0 < self.minutes * 60 < time.monotonic() - began:
                return False
            self.say(f"{len(results)} done; {trial.name}")
            results[trial.name] = self._kept(trial.name, trials_of.run(trial, on))
        for joint in joints(self.seeds, results) if "H5" in self.hypotheses else ():
            if 0 < self.minutes * 60 < time.monotonic() - began:
                return False
            self.say(f"{len(results)} done; {joint.name}")
            results[joint.name] = self._kept(joint.name, joints_of.run(joint, on))
        return True

    def _settle(self) -> None:
        """Trials of one folder are of one kind; raises `InputError` for a folder of another."""
        steps = trials_of.steps_of(self.scale)
        settings = {"steps": steps, "batch": trials_of.BATCH, "scale": self.scale, "mixtures": self.mixtures}
        file = self.folder / "settings.json"
        if not file.is_file():
            self.folder.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(settings), encoding="utf-8")
        elif json.loads(file.read_text(encoding="utf-8")) != settings:
            raise InputError(f"{self.folder} holds trials of other settings than {settings}: choose another folder")

    def _kept(self, name: str, content: dict[str, Any]) -> dict[str, Any]:
        file = self.folder / "trials" / f"{name}.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        aside = file.with_suffix(".writing")
        aside.write_text(json.dumps(content), encoding="utf-8")
        aside.rename(file)
        return content


def read(folder: Path) -> dict[str, dict[str, Any]]:
    """Results by name; of a study's folder, or of the one file that `write` made."""
    try:
        if not folder.is_dir():
            return json.loads(folder.read_text(encoding="utf-8"))
        files = sorted((folder / "trials").glob("*.json"))
        return {file.stem: json.loads(file.read_text(encoding="utf-8")) for file in files}
    except (OSError, ValueError) as error:
        raise InputError(f"'{folder}' holds no results of a study ({error}): name another, or delete it") from None


def write(results: dict[str, dict[str, Any]], file: Path) -> None:
    """All results as one file, a line for each."""
    lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(results[name])}" for name in sorted(results))
    file.write_text(f"{{\n{lines}\n}}\n", encoding="utf-8")
