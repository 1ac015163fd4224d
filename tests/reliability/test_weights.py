"""Pretrained parts are all there, or the reader says what is not; checkpoints are read as people have them."""

from __future__ import annotations

import argparse
import contextlib
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from tests.zoo.test_released_drawing import llamagen_states, mar_states, var_states
from torch import Tensor

import limner
from limner.errors import CheckpointError, InputError, LimnerError
from limner.nn.tensor_files import read_tensors
from limner.store.released import load_released

State = dict[str, Tensor]
NAN = float("nan")


@pytest.fixture(scope="module")
def llamagen() -> State:
    return llamagen_states()[0]


@pytest.fixture(scope="module")
def vq() -> State:
    return llamagen_states()[1]


def below(state: State, prefix: str) -> State:
    return {prefix + key: value for key, value in state.items()}


def weights(path: Path, **options: Any) -> State:
    return limner.load(path, **options).state_dict()


def same(first: State, second: State) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


WRAPPERS: dict[str, Callable[[State], Any]] = {
    "DDP": lambda state: {"model": below(state, "module.")},
    "torch.compile": lambda state: {"model": below(state, "_orig_mod.")},
    "both": lambda state: {"model": below(state, "module._orig_mod.")},
    "a compiled part": lambda state: {key.replace("layers.0.", "layers.0._orig_mod."): state[key] for key in state},
    "FSDP": lambda state: below(state, "_fsdp_wrapped_module."),
    "DeepSpeed": lambda state: {"module": state, "optimizer": None},
    "Lightning": lambda state: {"state_dict": below(state, "model."), "epoch": 1, "hyper_parameters": {"lr": 0.1}},
    "Lightning with a loss": lambda state: {"state_dict": below(state, "net.") | {"loss.weight": torch.ones(2)}},
    "an averaged copy": lambda state: (
        {"online_model." + key: torch.zeros_like(value) for key, value in state.items()}
        | below(state, "ema_model.")
        | {"initted": torch.tensor(True), "step": torch.tensor(3)}
    ),
    "averages beside": lambda state: {
        "model": {key: torch.zeros_like(value) for key, value in state.items()},
        "model_ema": state,
    },
    "timm's averages": lambda state: {
        "state_dict": {key: torch.zeros_like(value) for key, value in state.items()},
        "state_dict_ema": state,
    },
    "an optimizer": lambda state: {
        "model": state,
        "optimizer": {"state": {0: {"exp_avg": torch.ones(3)}}, "param_groups": [{"lr": 0.1}]},
    },
    "a trainer": lambda state: {"trainer": {"net_wo_ddp": state, "net_opt": {"state": {}}}, "args": {}},
    "arguments": lambda state: {"model": state, "args": argparse.Namespace(lr=0.1, out=Path("run"))},
}


@pytest.mark.parametrize("old", [False, True], ids=["zip", "before 1.6"])
@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_checkpoints_are_read_as_people_have_them(wrapper: str, old: bool, llamagen: State, tmp_path: Path) -> None:
    torch.save(llamagen, tmp_path / "bare.pt")
    file = tmp_path / "w.pt"
    torch.save(WRAPPERS[wrapper](llamagen), file, _use_new_zipfile_serialization=not old)
    assert same(weights(file, side=3), weights(tmp_path / "bare.pt", side=3))


@pytest.mark.parametrize("prefix", ["module.", "model.", "model.generator.", "a.b.c.d."])
def test_safetensors_below_a_prefix(prefix: str, vq: State, tmp_path: Path) -> None:
    save_file({key: value.contiguous() for key, value in vq.items()}, tmp_path / "bare.safetensors")
    save_file({prefix + key: value.contiguous() for key, value in vq.items()}, tmp_path / "w.safetensors")
    assert same(weights(tmp_path / "w.safetensors"), weights(tmp_path / "bare.safetensors"))


def test_of_two_models_in_a_file_the_other_is_named(tmp_path: Path) -> None:
    """VAR's ar-ckpt-best.pth."""
    generator, tokenizer = var_states()
    trainer = {"var_wo_ddp": generator, "vae_local": tokenizer, "var_opt": {}}
    torch.save({"epoch": 1, "iter": 2, "trainer": trainer, "args": {}}, tmp_path / "w.pt")
    released = load_released(tmp_path / "w.pt")
    assert (released.release.system, released.release.kind) == ("var", "generator")
    assert set(released.elsewhere) == {f"trainer.vae_local.{key}" for key in tokenizer}


def test_every_key_of_a_file_is_accounted_for(vq: State, tmp_path: Path) -> None:
    content = {"state_dict": below(vq, "model.") | {"loss.weight": torch.ones(2)}, "epoch": 3}
    torch.save(content, tmp_path / "w.pt")
    released = load_released(tmp_path / "w.pt")
    found = len(released.report.loaded) + len(released.report.skipped) + len(released.elsewhere)
    assert found == len(read_tensors(tmp_path / "w.pt"))
    assert released.elsewhere == ("state_dict.loss.weight",)


@pytest.mark.parametrize(
    ("states", "key"),
    [
        (llamagen_states, "layers.0.feed_forward.w1.weight"),
        (llamagen_states, "output.weight"),
        (var_states, "head.bias"),
        (var_states, "class_emb.weight"),
        (mar_states, "z_proj.weight"),
        (mar_states, "class_emb.weight"),
        (lambda: llamagen_states()[::-1], "encoder.conv_in.weight"),
    ],
)
def test_a_missing_key_is_named(states: Callable[[], tuple[State, State]], key: str, tmp_path: Path) -> None:
    state = dict(states()[0])
    del state[key]
    torch.save(state, tmp_path / "w.pt")
    with pytest.raises(CheckpointError, match=rf"w\.pt.* lacks .*{key}"):
        limner.load(tmp_path / "w.pt")


def test_every_key_that_may_be_missing_is_named(
    trials: Callable[[int, int], int], record: Callable[[str, int, int], None], tmp_path: Path
) -> None:
    """Of a generator and a tokenizer of each of three systems."""
    states = [state for make in (llamagen_states, var_states, mar_states) for state in make()]
    pairs = [(state, key) for state in states for key in state]
    chosen = random.Random(0).sample(pairs, min(trials(20, 917), len(pairs)))
    held = 0
    for state, key in chosen:
        torch.save({name: value for name, value in state.items() if name != key}, tmp_path / "w.pt")
        try:
            limner.load(tmp_path / "w.pt")
            held += key in SPARE  # nothing is read from it
        except CheckpointError as error:
            held += str(error).startswith(str(tmp_path / "w.pt")) and " lacks " in str(error)
    record("released files: a key that is missing is named", len(chosen), held)


SPARE = {"attn_bias_for_masking"}


@pytest.mark.parametrize("value", [NAN, float("inf"), -float("inf")])
def test_a_value_that_is_no_number_is_named(value: float, llamagen: State, tmp_path: Path) -> None:
    key = "layers.0.attention.wqkv.weight"
    broken = llamagen[key].clone()
    broken.view(-1)[-1] = value
    torch.save({**llamagen, key: broken}, tmp_path / "w.pt")
    with pytest.raises(CheckpointError, match=f"NaN or infinity is in {key}"):
        limner.load(tmp_path / "w.pt", side=3)


@pytest.mark.parametrize("kind", [torch.int64, torch.complex64, torch.bool, torch.uint8])
def test_weights_of_another_kind_are_named(kind: torch.dtype, llamagen: State, tmp_path: Path) -> None:
    key = "layers.0.attention.wqkv.weight"
    torch.save({**llamagen, key: llamagen[key].to(kind)}, tmp_path / "w.pt")
    with pytest.raises(CheckpointError, match=f"in kind {key} is "):
        limner.load(tmp_path / "w.pt", side=3)


def test_blocks_that_are_not_there_are_not_built(llamagen: State, tmp_path: Path) -> None:
    torch.save({**llamagen, "layers.1000000000.attention_norm.weight": torch.ones(2)}, tmp_path / "w.pt")
    with pytest.raises(CheckpointError, match=r"lacks 999999999 of 1000000001 layers, such as layers\.1"):
        limner.load(tmp_path / "w.pt", side=3)


def test_classes_and_guidance_that_are_none_end_in_a_sentence(tmp_path: Path) -> None:
    import numpy as np

    generator, tokenizer = llamagen_states()
    torch.save(generator, tmp_path / "g.pt")
    torch.save(tokenizer, tmp_path / "t.pt")
    model = limner.load(tmp_path / "g.pt", tokenizer=tmp_path / "t.pt", side=3)
    assert len(model.draw(classes=np.int64(3))) == 1
    for classes in ("3", 1.5, [1.0], None, [99]):
        with pytest.raises(InputError, match="class"):
            model.draw(classes=classes)
    with pytest.raises(InputError, match="guidance is nan"):
        model.draw(classes=[3], guidance=NAN)


class Payload:
    """What a hostile pickle runs."""

    def __init__(self, target: Path, how: str) -> None:
        self.target, self.how = target, how

    def __reduce__(self) -> tuple[Any, ...]:
        import os
        import subprocess

        return {
            "system": (os.system, (f"touch {self.target}",)),
            "eval": (eval, (f"open({str(self.target)!r}, 'w')",)),
            "exec": (exec, (f"open({str(self.target)!r}, 'w')",)),
            "call": (subprocess.call, (["touch", str(self.target)],)),
            "method": (Path.touch, (self.target,)),
            "class": (Path, (str(self.target),), {"x": 1}),
            "load": (torch.load, (str(self.target),)),
        }[self.how]


@pytest.mark.parametrize("old", [False, True], ids=["zip", "before 1.6"])
@pytest.mark.parametrize("how", ["system", "eval", "exec", "call", "method", "class", "load"])
def test_a_pickle_never_runs(how: str, old: bool, llamagen: State, tmp_path: Path) -> None:
    target = tmp_path / "ran"
    torch.save(
        {"args": Payload(target, how), "model": llamagen}, tmp_path / "w.pt", _use_new_zipfile_serialization=not old
    )
    with contextlib.suppress(CheckpointError):  # or what the pickle asks for is passed over
        limner.load(tmp_path / "w.pt", side=3)
    assert not target.exists()


def test_corrupted_files_end_in_a_sentence(
    trials: Callable[[int, int], int], record: Callable[[str, int, int], None], llamagen: State, tmp_path: Path
) -> None:
    """Bytes changed, cut out, put in or cut off, in each of the three formats; a change may also go unnoticed where it
    is a finite weight, but then the file still is read twice alike."""
    chance, count, held = random.Random(1), trials(30, 200), 0
    small = llamagen
    save_file({key: value.contiguous() for key, value in small.items()}, tmp_path / "w.safetensors")
    torch.save({"model": small}, tmp_path / "new.pt")
    torch.save({"model": small}, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    wholes = {name: (tmp_path / name).read_bytes() for name in ("w.safetensors", "new.pt", "old.pt")}
    for trial in range(count):
        name = list(wholes)[trial % 3]
        file = tmp_path / name
        file.write_bytes(corrupted(wholes[name], chance))
        try:
            held += same(weights(file, side=3), weights(file, side=3))
        except LimnerError as error:
            held += len(str(error).splitlines()) == 1
    record("released files: corrupted bytes end in one sentence or in finite weights", count, held)


def corrupted(whole: bytes, chance: random.Random) -> bytes:
    """With some bytes other than they were, most often where the file is described."""
    edge = min(chance.choice((64, 4096, len(whole))), len(whole))
    at = chance.randrange(edge) if chance.random() < 0.7 else len(whole) - 1 - chance.randrange(edge)
    length = chance.choice((1, 1, 4, 64))
    match chance.choice(("change", "change", "flip", "cut out", "put in", "cut off")):
        case "change":
            return whole[:at] + chance.randbytes(length) + whole[at + length :]
        case "flip":
            return whole[:at] + bytes([whole[at] ^ (1 << chance.randrange(8))]) + whole[at + 1 :]
        case "cut out":
            return whole[:at] + whole[at + length :]
        case "put in":
            return whole[:at] + chance.randbytes(length) + whole[at:]
        case _:
            return whole[:at]
