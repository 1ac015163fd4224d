"""Folders of the `transformers` library: looked through before the library reads them, accounted for after.

    configuration(folder)      its config.json            model(automatic, folder)       with the folder's weights
    tokenizer(folder)          its subwords               described(automatic, folder)   with random ones

Nothing is downloaded and nothing that lies in a folder is run. A model has all weights that it needs from the folder's
files, and all weights of the files that belong to it; else there is a sentence.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Generator, Iterable
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from limner.errors import InputError, LimnerError
from limner.nn.tensor_files import read_tensors
from limner.nn.weights import BUDGET, budgeted, listed, unsound

CONFIG, INDEX = "config.json", ".index.json"
WEIGHTS = ("*.safetensors", "*.bin")
READ = (CONFIG, "tokenizer_config.json", "preprocessor_config.json", "generation_config.json")
FOREIGN = {"adapter_config.json": "adapters of another model", ".metadata": "a pickled index of parts"}
RUNS = {  # what a description may ask for
    "auto_map": "Python of its own",
    "quantization_config": "other libraries",
    "transformers_weights": "other files",
    "fast_tokenizer_files": "other files",
    "fusion_config": "other classes",
}
KERNELS = "_implementation"  # how attention is computed, by a name, or by code to be downloaded
LARGEST = 64_000_000  # bytes of a description
UNWEIGHTED = 10**8  # weights of a model that is described alone: a larger one is loaded with them


def library() -> Any:
    """`transformers`, imported when it is needed, which takes seconds; raises InputError if it is not installed."""
    try:
        import transformers
    except ImportError:
        raise InputError("models from a folder need transformers: run pip install 'limner[llm]'") from None
    return transformers


def has_weights(folder: Path) -> bool:
    """Are there files of weights in it?"""
    return any(True for pattern in WEIGHTS for _ in folder.glob(pattern))


def configuration(folder: Path, kind: str) -> Any:
    """What a folder says about its model, as ``kind``; raises `InputError` if it says nothing that the library knows,
    or asks for more than reading."""
    require_harmless(folder)
    with sentences(folder, f"cannot be read as a {kind}", "copy config.json and weights"):
        return library().AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)


def tokenizer(folder: Path) -> Any:
    """The tokenizer of a folder; errors as those of `configuration`."""
    require_harmless(folder)
    with sentences(folder, "holds no tokenizer", "copy tokenizer.json and its config"):
        return library().AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)


def model(automatic: Any, folder: Path, kind: str, *, dtype: torch.dtype, **options: str) -> Any:
    """The model of a folder, with its weights.

    Args:
        automatic: class of the library that makes it.
        kind: what it is to be, for sentences.
        dtype: of its weights.
        options: of the library.

    Raises `InputError` as `configuration` does, and naming weights that are missing, unknown, of another shape or kind,
    or not finite.
    """
    config = configuration(folder, kind)
    if not has_weights(folder):
        raise InputError(f"{folder} holds no weights ({' or '.join(WEIGHTS)}): copy them too")

    stored = sum(file.stat().st_size for pattern in WEIGHTS for file in folder.glob(pattern))

    def read(**renaming: Any) -> tuple[Any, dict[str, Any]]:
        with (
            sentences(folder, f"cannot be read as a {kind}", "copy config.json and weights"),
            budgeted(folder / CONFIG, stored),
        ):
            return automatic.from_pretrained(
                folder,
                config=config,
                dtype=dtype,
                local_files_only=True,
                trust_remote_code=False,
                output_loading_info=True,
                **options,
                **renaming,
            )

    made, found = read()
    if prefix := _wrapped(made, found):
        made, found = read(key_mapping={rf"^{re.escape(prefix)}": ""})
    if problems := _unaccounted(made, found, folder):
        raise InputError(f"{folder} does not fit its config.json: {problems}: copy config.json and weights again")
    return made


def described(automatic: Any, folder: Path, kind: str, **options: str) -> Any:
    """The model that a folder describes, with random weights; errors as those of `configuration`."""
    config = configuration(folder, kind)
    limits = nullcontext() if BUDGET.get() is not None else budgeted(folder / CONFIG, UNWEIGHTED)
    with sentences(folder, f"cannot be read as a {kind}", "copy config.json"), limits:
        return automatic.from_config(config, trust_remote_code=False, **options)


def require_harmless(folder: Path) -> None:
    """Raises `InputError` for a folder that asks the library for more than reading: to run Python of its own, to load
    another model, to follow links or paths out of the folder."""
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder: give one as transformers writes them")
    for name, what in FOREIGN.items():
        if (folder / name).exists():
            raise InputError(f"{folder} holds {what} ({name}): give a folder of the whole model as safetensors")
    for file in sorted(folder.iterdir()):
        if file.is_symlink() and not file.match("*.safetensors") and not file.resolve().is_relative_to(_home(folder)):
            raise InputError(f"{file} is a link that leads out of its folder: copy the file itself")
    for file in sorted({*(folder / name for name in READ), *folder.glob(f"*{INDEX}")}):
        if file.exists():
            content = _object(file)
            _require_read_only(content, file)
            if file.name.endswith(INDEX):
                _require_beside(content, file)


def _home(folder: Path) -> Path:
    """Where files of a folder may lie: in it, or, in the cache of the Hub, beside all snapshots."""
    place = folder.resolve()
    above = [parent.parent for parent in place.parents if parent.name == "snapshots"]
    return above[0] if above else place


def _object(file: Path) -> dict[str, Any]:
    try:
        if not file.is_file() or file.stat().st_size > LARGEST:
            raise ValueError(f"no file of at most {LARGEST:,} bytes")
        content = json.loads(file.read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise ValueError(f"it holds a {type(content).__name__}")
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{file} cannot be read ({error}): copy it again") from None
    return content


def _require_read_only(content: dict[str, Any], file: Path) -> None:
    for key, value in _pairs(content):
        if key in RUNS and value:
            raise InputError(
                f"{file} asks for {RUNS[key]} ({key}), which limner never follows: take {key} out if the library has a "
                "class of its own for this model, or give another"
            )
        if key.endswith(KERNELS) and isinstance(value, str) and not value.replace("_", "").isalnum():
            raise InputError(f"{file} asks for code from elsewhere ({key}: {value!r}): take {key} out")


def _pairs(content: Any) -> Iterable[tuple[str, Any]]:
    """Every key of nested JSON with its value."""
    left = [content]
    while left:
        inner = left.pop()
        if isinstance(inner, dict):
            yield from inner.items()
        left += inner.values() if isinstance(inner, dict) else inner if isinstance(inner, list) else ()


def _require_beside(content: dict[str, Any], file: Path) -> None:
    names = content.get("weight_map")
    for name in names.values() if isinstance(names, dict) else [None]:
        if not isinstance(name, str) or Path(name).name != name or not (file.parent / name).is_file():
            raise InputError(f"{file} names {name!r}, which is no file beside it: copy the weights again")


@contextmanager
def sentences(folder: Path, what: str, remedy: str) -> Generator[None]:
    """Within it, whatever the library stumbles over becomes one sentence: it checks little of what it reads, and its
    parts in Rust panic with errors that are no `Exception`."""
    try:
        yield
    except (LimnerError, KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except BaseException as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0][:120]
        raise InputError(f"{folder} {what} ({reason}): {remedy}") from None


def _wrapped(made: Any, found: dict[str, Any]) -> str:
    """The prefix under which all weights lie that a model misses; empty if there is none."""
    missing, unknown = set(found["missing_keys"]), set(found["unexpected_keys"])
    if not missing or not unknown:
        return ""
    prefixes = {key[: len(key) - len(own)] for own in missing for key in unknown if key.endswith(f".{own}")}
    own = set(made.state_dict())
    ends = [prefix for prefix in prefixes if all(key.startswith(prefix) for key in unknown)]
    return next((p for p in sorted(ends, key=len) if {key.removeprefix(p) for key in unknown} & own >= missing), "")


def _unaccounted(made: Any, found: dict[str, Any], folder: Path) -> str:
    """Weights of a model that the files do not hold, or of the files that are not in the model, in words; those of a
    head that the model does not have are passed over."""
    parameters = dict(made.named_parameters())
    parts = {name.split(".")[0] for name in made.state_dict()}
    problems = (
        ("the files lack", sorted(found["missing_keys"])),
        ("the files have unknown", sorted(key for key in found["unexpected_keys"] if key.split(".")[0] in parts)),
        ("in shape", [str(key[0] if isinstance(key, tuple) else key) for key in found["mismatched_keys"]]),
        ("in kind", [f"{key} is {kind}" for key, kind in _odd_kinds(folder).items() if _ends(key, parameters)]),
        ("NaN or infinity is in", unsound(parameters)),
    )
    return "; ".join(f"{problem} {listed(names)} ({len(names)} in all)" for problem, names in problems if names)


def _ends(key: str, names: Collection[str]) -> bool:
    """Is it one of the names, maybe below a prefix?"""
    levels = key.split(".")
    return any(".".join(levels[start:]) in names for start in range(len(levels)))


def _odd_kinds(folder: Path) -> dict[str, str]:
    """Names of the tensors in the files that are no floating numbers, with what they are."""
    found: dict[str, str] = {}
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, "pt") as opened:
            kinds = {key: str(opened.get_slice(key).get_dtype()) for key in opened.keys()}  # noqa: SIM118
        found |= {key: kind for key, kind in kinds.items() if not kind.startswith(("F", "BF"))}
    for file in sorted(folder.glob("*.bin")):
        tensors = read_tensors(file)
        found |= {key: str(value.dtype) for key, value in tensors.items() if not value.is_floating_point()}
    return found
