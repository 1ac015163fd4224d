"""The state of a training run, and one step of it.

g <- gradient of the loss of a batch, whole or in parts                                `limner.nn.whole_batch`
w <- Optimizer(w, g);  average <- average of w          a step whose loss or gradient is not finite changes nothing
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from limner.errors import CheckpointError, DivergedError, InputError
from limner.nn.weights import EXTRA
from limner.nn.whole_batch import CutBatch
from limner.train import checkpoint
from limner.train.average import WeightAverage
from limner.train.optimizer import Optimizer
from limner.train.settings import Settings, marked
from limner.train.task import Loss, Task
from limner.types import Rng, derive_seed

MAX_SKIPPED = 20  # consecutive steps with a non-finite loss or gradient before the run is given up


class MisfitError(CheckpointError):
    """A checkpoint whose bytes are those that were written, and which is none of this run's."""


class Run:
    """The state of a training run: everything that a checkpoint holds.

    Raises `InputError` for a batch that is too small for the task's loss or must not be cut, see `Coupling`.
    """

    stopped_by: int | None = None
    """The signal that stopped it early, if one did."""

    def __init__(self, task: Task[Any, Any], settings: Settings, directory: Path) -> None:
        _require_whole(task, settings)
        self.task, self.settings, self.directory = task, settings, directory
        device = torch.device(settings.device)
        task.model.to(device)
        self.modules: dict[str, nn.Module] = {"model": task.model}
        if task.extra is not None:
            self.modules["extra"] = task.extra.to(device)
        self.average = WeightAverage(task.model, settings.ema_decay())
        self.frozen = {name for name, weight in task.model.named_parameters() if not weight.requires_grad}
        self.names = {
            f"{group}.{name}": parameter
            for group, module in self.modules.items()
            for name, parameter in module.named_parameters()
            if parameter.requires_grad
        }
        self.optimizer = Optimizer(self.modules.values(), self.names.values(), settings)
        self.images = self.steps = self.skipped = 0
        self.saved = 0  # images of the newest checkpoint
        self.torn = False  # in the middle of changing weights
        self.uneven = True  # may the loss hold means over unequal counts?
        self.distrusted: list[Path] = []  # checkpoints that could not be resumed
        self.infinite = set(not_finite(self.tensors()))  # from the start, such as masks of -inf

    def tensors(self) -> dict[str, dict[str, Tensor]]:
        """What a checkpoint holds, by file and name."""
        tensors = {group: dict(module.state_dict()) for group, module in self.modules.items()}
        average = self.average.model.state_dict().items()
        tensors["average"] = {name: value for name, value in average if name not in self.frozen}
        tensors["optimizer"] = {
            f"{name}/{key}": value
            for name, parameter in self.names.items()
            for key, value in self.optimizer.state(parameter).items()
        }
        return tensors

    def save(self) -> Path:
        """Write a checkpoint of this moment; raises `OSError` if it cannot be written, and `DivergedError`, before
        anything is, if its numbers are not finite."""
        tensors = self.tensors()
        for name in not_finite(tensors):
            if name not in self.infinite:
                raise DivergedError(
                    f"{name} is not finite after {self.images} images, so this checkpoint is not kept and the one "
                    "before it is untouched: train with a lower --lr, in another --out"
                )
        state = {"images": self.images, "steps": self.steps, "skipped": self.skipped, "knobs": self._knobs()}
        folder = checkpoint.save(self.directory, self.images, tensors, state, self.distrusted)
        self.saved, self.distrusted = self.images, []
        return folder

    def _knobs(self) -> dict[str, Any]:
        return {key: str(value) if isinstance(value, Path) else value for key, value in asdict(self.settings).items()}

    def restore(self, folder: Path) -> None:
        """Go back to a checkpoint. Raises `CheckpointError`, and has then changed nothing, if it was made with other
        knobs or is damaged, and `MisfitError` if it is sound and not of this model, or not finite."""
        tensors, state = checkpoint.load(folder)
        self._require_knobs(state, folder)
        if problem := self._misfit(tensors, state):
            raise MisfitError(f"{folder}: {problem}: resume by the code that wrote it, or give another --out")
        for group, module in self.modules.items():
            module.load_state_dict(tensors[group])
        self.average.model.load_state_dict({**tensors["model"], **tensors["average"]})
        slots: dict[str, dict[str, Tensor]] = {name: {} for name in self.names}
        for key, value in tensors["optimizer"].items():
            name, slot = key.rsplit("/", 1)
            slots[name][slot] = value
        for name, parameter in self.names.items():
            self.optimizer.restore(parameter, slots[name])
        self.images, self.steps, self.skipped = state["images"], state["steps"], state["skipped"]
        self.saved = self.images

    def _require_knobs(self, state: Mapping[str, Any], folder: Path) -> None:
        free, now, then = marked(type(self.settings), "run", "free"), self._knobs(), state.get("knobs")
        for key, value in (then if isinstance(then, dict) else {}).items():
            if key not in free and key in now and _plain(now[key]) != _plain(value):
                option = key.replace("_", "-")
                raise CheckpointError(
                    f"{folder} was trained with --{option} {value}, not {now[key]}: "
                    "use the same knobs to resume, or another --out to start afresh"
                )

    def _misfit(self, tensors: Mapping[str, Mapping[str, Tensor]], state: Mapping[str, Any]) -> str | None:
        """Why a checkpoint cannot be one of this run."""
        counts = [state.get(key) for key in ("images", "steps", "skipped")]
        if any(type(count) is not int or count < 0 for count in counts):
            return f"{checkpoint.STATE} does not say how far it had come"
        own = self.tensors()
        for group in own:
            found = tensors.get(group, {})
            if group == "optimizer":  # one that has not stepped holds nothing
                wrong = [key for key, value in found.items() if not self._is_slot(key, value)]
            else:
                keys = [key for key in {**own[group], **found} if not key.endswith(EXTRA)]
                wrong = [key for key in keys if not _alike(own[group].get(key), found.get(key))]
            if group not in tensors or wrong:
                return f"{group} is not this model's" + (f" (see {min(wrong)})" if wrong else "")
        bad = [name for name in not_finite(tensors) if name not in self.infinite]
        return f"{bad[0]} is not finite" if bad else None

    def _is_slot(self, key: str, value: Tensor) -> bool:
        """Is it what an optimizer keeps of a weight: a count, or numbers in its shape?"""
        weight = self.names.get(key.rpartition("/")[0])
        return weight is not None and value.is_floating_point() and value.shape in (weight.shape, torch.Size())

    def step(self) -> dict[str, float]:
        """One optimizer step; returns what to log, with ``loss`` not finite if the step was skipped. One that raises
        changes nothing."""
        settings, buffers = self.settings, _Buffers(self.modules.values())
        self.optimizer.zero_grad()
        try:
            values = self._gradient(buffers)
        except BaseException:
            buffers.put_back()
            raise
        norm = float(torch.nn.utils.clip_grad_norm_(self.names.values(), settings.clip))
        values["gradient"] = norm
        if math.isfinite(values["loss"]) and math.isfinite(norm):
            self.torn = True
            self.optimizer.step(settings.learning_rate(self.images) / settings.lr)
            self.average.update(self.task.model, self.steps)
            self.steps, self.skipped, self.torn = self.steps + 1, 0, False
        else:
            buffers.put_back()  # a running average that met one NaN would keep it
            self._skip()
        self.images += settings.batch
        return values

    def _skip(self) -> None:
        self.skipped += 1
        if any(name in self.names for name in not_finite(self.tensors())):
            raise DivergedError(
                f"weights are no longer finite at {self.images} images: train with a lower --lr, in another --out; the "
                "last checkpoint is untouched"
            )
        if self.skipped > MAX_SKIPPED:
            raise DivergedError(
                f"{self.skipped} steps in a row had a loss or gradient that is not finite, the last at "
                f"{self.images} images: lower --lr or use --precision fp32; the last checkpoint is untouched"
            )

    def _gradient(self, buffers: _Buffers) -> dict[str, float]:
        """Leaves the gradient of a batch and returns what to log: means over its parts."""
        settings = self.settings
        seed, parts, part = derive_seed(settings.seed, "loss", self.images), settings.accumulate, self._part_size
        if parts == 1:
            loss, metrics = self._loss(self.task.batch(self.images, part), self.images, Rng(seed, settings.device))
            loss.backward()
            return {name: float(value) for name, value in {"loss": loss.detach(), **metrics}.items()}
        cut = CutBatch(settings.batch, parts, derive_seed(settings.seed, "dropout", self.images))
        batches = [self.task.batch(self.images + index * part, part) for index in range(parts)]
        if self.uneven:
            with torch.no_grad():
                for index, batch in enumerate(batches):
                    self._loss_of_part(cut, index, batch)
                    buffers.put_back()
            self.uneven = bool(cut.counts)
        cut.counted = True
        values: dict[str, float] = {}
        for index, batch in enumerate(batches):
            loss, metrics = self._loss_of_part(cut, index, batch)
            (loss / parts).backward()
            buffers.end_part(parts)
            for name, value in {"loss": loss.detach(), **metrics}.items():
                values[name] = values.get(name, 0.0) + float(value) / parts
        buffers.end_batch()
        return values

    @property
    def _part_size(self) -> int:
        return self.settings.batch // self.settings.accumulate

    def _loss_of_part(self, cut: CutBatch, index: int, batch: Any) -> Loss:
        settings, size = self.settings, self._part_size
        seed, first = derive_seed(settings.seed, "loss", self.images), index * size
        rng = Rng.of_part(seed, settings.device, start=first, size=size, batch=settings.batch)
        with cut.part(index):
            return self._loss(batch, self.images + first, rng)

    def _loss(self, batch: Any, start: int, rng: Rng) -> Loss:
        _seed(derive_seed(self.settings.seed, "dropout", start), self.settings.device)
        with precision(self.settings):
            return self.task.loss(self.task.model, _to(batch, self.settings.device), rng)


def _seed(seed: int, device: str) -> None:
    """`torch.manual_seed`; on a CPU without the rest of it, which prints the call stack for every kind of device."""
    if device == "cpu":
        torch.default_generator.manual_seed(seed)
    else:
        torch.manual_seed(seed)


class _Buffers:
    """Buffers of modules around a step. Each part of a batch meets them as the whole batch does; running means then
    move by the mean of the parts' moves, and counts of batches go on by one."""

    def __init__(self, modules: Iterable[nn.Module]) -> None:
        self.live = [buffer for module in modules for buffer in module.buffers()]
        self.before = [buffer.clone() for buffer in self.live]
        self.after: dict[int, Tensor] = {}

    def put_back(self) -> None:
        for buffer, value in zip(self.live, self.before, strict=True):
            buffer.copy_(value)

    def end_part(self, parts: int) -> None:
        for index, (buffer, value) in enumerate(zip(self.live, self.before, strict=True)):
            if torch.equal(buffer, value):
                continue
            if buffer.is_floating_point():
                self.after[index] = self.after.get(index, value) + (buffer - value) / parts
            else:
                self.after[index] = buffer.clone()
            buffer.copy_(value)

    def end_batch(self) -> None:
        for index, value in self.after.items():
            self.live[index].copy_(value)


def _require_whole(task: Task[Any, Any], settings: Settings) -> None:
    if task.coupling is None:
        return
    reason, least = task.coupling
    if settings.batch < least:
        raise InputError(f"--batch {settings.batch} is too small, for {reason}: give at least {least}")
    if settings.accumulate > 1:
        raise InputError(
            f"--accumulate {settings.accumulate} would change what is learned, for {reason}: leave it out, and lower "
            "--batch if memory is short"
        )


def not_finite(tensors: Mapping[str, Mapping[str, Tensor]]) -> list[str]:
    """Names, as ``model.layer.weight``, of the tensors of a checkpoint that hold a NaN or an infinity."""
    return [
        f"{group}.{name}"
        for group, part in tensors.items()
        for name, value in part.items()
        if value.is_floating_point() and not bool(value.isfinite().all())
    ]


def precision(settings: Settings) -> torch.autocast:
    """The autocast context of a run's forward pass."""
    return torch.autocast(torch.device(settings.device).type, torch.bfloat16, enabled=settings.precision == "bf16")


def _alike(own: Tensor | None, found: Tensor | None) -> bool:
    return own is not None and found is not None and (own.shape, own.dtype) == (found.shape, found.dtype)


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _to(batch: Any, device: str) -> Any:
    if isinstance(batch, Tensor):
        return batch.to(device)
    if isinstance(batch, dict):
        return {key: _to(value, device) for key, value in batch.items()}
    if isinstance(batch, (tuple, list)):
        return type(batch)(_to(value, device) for value in batch)
    return batch
