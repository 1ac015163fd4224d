"""Towers and language models from folders: all their weights are there, or the reader says which are not; nothing that
lies in a folder is run."""

from __future__ import annotations

import ast
import io
import json
import random
import shutil
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.languages.folders import roughen, write_encoder, write_language
from tests.reliability.test_weights import Payload, corrupted
from torch import Tensor

import limner
from limner.encoders.pretrained import PretrainedEncoder
from limner.errors import InputError, LimnerError
from limner.languages.huggingface import HuggingFaceLanguage
from limner.languages.pretrained_subwords import PretrainedSubwords

transformers = pytest.importorskip("transformers")
State = dict[str, Tensor]
IMAGE = torch.linspace(-1, 1, 3 * 16 * 16).reshape(1, 3, 16, 16)


def tower(folder: Path, kind: str) -> Path:
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = getattr(transformers, f"{kind}VisionConfig")(**sizes, image_size=16, patch_size=8)
    model = getattr(transformers, f"{kind}VisionModel")(config)
    roughen(model)
    model.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps({"image_mean": [0.5] * 3, "image_std": [0.5] * 3}))
    return folder


@pytest.fixture(scope="module", params=["Clip", "Siglip", "Llama", "Qwen2"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    kind, folder = request.param, tmp_path_factory.mktemp("made") / request.param
    if kind in ("Llama", "Qwen2"):
        return write_language(folder, kind, tie_word_embeddings=False)
    return tower(folder, {"Clip": "CLIP"}.get(kind, kind))


@pytest.fixture
def folder(model: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(model, tmp_path / model.name))


def read(folder: Path) -> State:
    """What a folder's model makes of one input."""
    if folder.name in ("Llama", "Qwen2"):
        language = HuggingFaceLanguage.read(folder)
        return {"words": language.words.detach(), **language.state_dict()}
    encoder = PretrainedEncoder.read(folder)
    patches = encoder(IMAGE)
    return {"vectors": patches.vectors, "pooled": patches.pooled, **encoder.state_dict()}


def same(first: State, second: State) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


def stored(folder: Path) -> State:
    return load_file(folder / "model.safetensors")


def store(folder: Path, state: State) -> None:
    save_file({key: value.clone() for key, value in state.items()}, folder / "model.safetensors", {"format": "pt"})


def test_two_reads_are_equal(folder: Path) -> None:
    assert same(read(folder), read(folder))


@pytest.mark.parametrize("prefix", ["module.", "model.vision_tower.", "base_model.model.", "_orig_mod."])
def test_weights_below_a_prefix_are_those_without(folder: Path, prefix: str) -> None:
    """Or a sentence, where the library takes the prefix for a part of its own."""
    wanted = read(folder)
    store(folder, {prefix + key: value for key, value in stored(folder).items()})
    try:
        found = read(folder)
    except InputError as error:
        pytest.fail(str(error))
    assert same(found, wanted)


def test_a_missing_block_is_counted_and_named(folder: Path) -> None:
    state = stored(folder)
    fewer = {key: value for key, value in state.items() if "layers.1." not in key}
    store(folder, fewer)
    with pytest.raises(InputError, match=rf"the files lack .*layers\.1\..*\({len(state) - len(fewer)} in all\)"):
        read(folder)


def test_more_layers_than_described_are_named(folder: Path) -> None:
    state = stored(folder)
    store(folder, state | {key.replace("layers.1.", "layers.2."): state[key] for key in state})
    with pytest.raises(InputError, match=r"the files have unknown .*layers\.2\."):
        read(folder)


def test_every_weight_that_may_be_missing_or_broken_is_named(
    model: Path,
    trials: Callable[[int, int], int],
    record: Callable[[str, int, int], None],
    tmp_path: Path,
) -> None:
    folder = Path(shutil.copytree(model, tmp_path / model.name))
    state, held, tried = stored(folder), 0, 0
    for key in random.Random(0).sample(sorted(state), trials(4, len(state))):
        nan, kind = state[key].clone(), state[key].long()
        nan.view(-1)[0] = float("nan")
        for changed in ({**state, key: nan}, {**state, key: kind}, {k: v for k, v in state.items() if k != key}):
            store(folder, changed)
            tried += 1
            try:
                read(folder)
            except InputError as error:
                held += key.rpartition("vision_model.")[2] in str(error)
    record("folders of transformers: a weight that is missing, NaN or whole numbers is named", tried, held)


def test_cut_short_is_a_sentence(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(InputError, match="cannot be read as a"):
        read(folder)


def test_corrupted_folders_end_in_a_sentence(
    model: Path, trials: Callable[[int, int], int], record: Callable[[str, int, int], None], tmp_path: Path
) -> None:
    chance, count, held = random.Random(2), trials(6, 50), 0
    for _ in range(count):
        folder = Path(shutil.copytree(model, tmp_path / model.name, dirs_exist_ok=True))
        file = chance.choice(sorted(path for path in folder.iterdir() if path.is_file()))
        file.write_bytes(corrupted(file.read_bytes(), chance))
        try:
            held += same(read(folder), read(folder))
        except LimnerError as error:
            held += len(str(error).splitlines()) == 1
    record("folders of transformers: corrupted files end in one sentence or in finite weights", count, held)


# Nothing in a folder is ever run

CODE = "import pathlib\npathlib.Path({target!r}).touch()\nclass M: pass\n"


Tricks = dict[str, Callable[[], object]]


def edit(folder: Path, name: str, **values: Any) -> None:
    """Change a description in the folder, or add one."""
    file = folder / name
    content = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    file.write_text(json.dumps({**content, **values}), encoding="utf-8")


def link(folder: Path, name: str, to: Path) -> None:
    (folder / name).unlink(missing_ok=True)
    (folder / name).symlink_to(to)


def pickled(folder: Path, target: Path, how: str, old: bool) -> None:
    """Weights as a pickle that touches ``target`` when it is read."""
    for file in folder.glob("*.safetensors"):
        file.unlink()
    torch.save({"x": Payload(target, how)}, folder / "pytorch_model.bin", _use_new_zipfile_serialization=not old)


def that_name_code(folder: Path, target: Path) -> Tricks:
    """Descriptions that name code in the folder or elsewhere."""
    every = {"AutoConfig": "configuration_evil.M", "AutoModel": "modeling_evil.M"}
    every["AutoModelForCausalLM"] = "modeling_evil.M"
    config = partial(edit, folder, "config.json")
    auto, tokens = {"auto_map": every}, {"AutoTokenizer": ["tokenization_evil.M", None]}

    def code(name: str, mapping: dict[str, Any], **values: Any) -> None:
        for module in ("modeling_evil.py", "configuration_evil.py", "tokenization_evil.py"):
            (folder / module).write_text(CODE.format(target=str(target)))
        edit(folder, name, auto_map=mapping, **values)

    return {
        "code of the model": lambda: code("config.json", every),
        "code of the model, type unknown": lambda: code("config.json", every, model_type="evil"),
        "code of another repository": lambda: code("config.json", {k: f"me/evil--{v}" for k, v in every.items()}),
        "code of a part": lambda: config(**dict.fromkeys(("text_config", "vision_config"), auto)),
        "code in a list": lambda: config(parts=[[{"auto_map": every}]]),
        "code of the generation": lambda: code("generation_config.json", every),
        "code of the pixels": lambda: code("preprocessor_config.json", {"AutoImageProcessor": "modeling_evil.M"}),
        "code of the tokenizer": lambda: code("tokenizer_config.json", tokens),
        "code of the tokenizer, class unknown": lambda: code("tokenizer_config.json", tokens, tokenizer_class="M"),
        "attention from elsewhere": lambda: config(attn_implementation="me/kernels"),
        "attention from elsewhere, privately": lambda: config(_attn_implementation="me/kernels:evil"),
        "experts from elsewhere": lambda: config(experts_implementation="me/kernels"),
        "quantized by a library": lambda: config(quantization_config={"quant_method": "gptq", "bits": 4}),
        "weights by name": lambda: config(transformers_weights="../outside.json"),
        "adapters of another model": lambda: edit(
            folder, "adapter_config.json", base_model_name_or_path=str(target.parent)
        ),
        "a class by a path": lambda: edit(folder, "tokenizer_config.json", tokenizer_class="../../tokenization_evil.M"),
    }


def that_lead_out(folder: Path, target: Path) -> Tricks:
    """Links and paths to what lies outside."""
    config = partial(edit, folder, "config.json")
    outside = target.parent / "outside.json"
    outside.write_text("{}")
    return {
        "parts outside": lambda: edit(folder, "model.safetensors.index.json", weight_map={"x": "../outside.json"}),
        "parts by a full path": lambda: edit(folder, "pytorch_model.bin.index.json", weight_map={"x": str(outside)}),
        "a linked description": lambda: link(folder, "config.json", outside),
        "a linked vocabulary": lambda: link(folder, "vocab.json", outside),
        "a linked tokenizer": lambda: link(folder, "tokenizer_config.json", outside),
        "a link by dots": lambda: link(folder, "merges.txt", Path("../outside.json")),
        "a linked folder": lambda: link(folder, "additional_chat_templates", target.parent),
        "a name out of the folder": lambda: config(_name_or_path="../../evil", model_type="../evil"),
    }


def that_are_broken(folder: Path) -> Tricks:
    """Descriptions that are none, or of something too large."""
    config = partial(edit, folder, "config.json")
    return {
        "classes exchanged": lambda: config(fusion_config={"evil": True}),
        "a pickled index": lambda: (folder / ".metadata").write_bytes(b"cos\nsystem\n(S'true'\ntR."),
        "a description that is a folder": lambda: (folder / "tokenizer.json.index.json").mkdir(),
        "a description of a billion layers": lambda: config(num_hidden_layers=10**9),
        "a description of a billion channels": lambda: config(hidden_size=10**9),
        "a description nested without end": lambda: (folder / "config.json").write_text("[" * 100_000),
        "a description that is a list": lambda: (folder / "config.json").write_text("[1, 2]"),
        "a description that is a number": lambda: (folder / "preprocessor_config.json").write_text("3"),
    }


def hostile(folder: Path, target: Path) -> Tricks:
    """What somebody may do to a folder so that reading it touches ``target``, or reads what lies outside."""
    tricks = that_name_code(folder, target) | that_lead_out(folder, target) | that_are_broken(folder)
    for how in ("system", "eval", "exec", "call", "method", "class", "load"):
        for old in (False, True):
            tricks[f"a pickle, {how}, {'old' if old else 'new'}"] = partial(pickled, folder, target, how, old)
    return tricks


@pytest.mark.slow
@pytest.mark.parametrize("made", ["language", "encoder"])
def test_hostile_folders_run_nothing(
    made: str,
    trials: Callable[[int, int], int],
    record: Callable[[str, int, int], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Each is refused in a sentence or read without it; nobody is asked on standard input, which says yes here."""
    language = made == "language"
    monkeypatch.chdir(tmp_path)
    sound = write_language(tmp_path / "sound", "Llama") if language else tower(tmp_path / "sound", "CLIP")
    names = list(hostile(Path(shutil.copytree(sound, tmp_path / "names")), tmp_path / "ran"))
    chosen = random.Random(made).sample(names, min(trials(12, 50), len(names)))
    held = 0
    for number, name in enumerate(chosen):
        folder, target = tmp_path / f"{number}" / made, tmp_path / f"{number}" / "ran"
        shutil.copytree(sound, folder)
        hostile(folder, target)[name]()
        monkeypatch.setattr(sys, "stdin", io.StringIO("yes\n" * 9))
        before = set(sys.modules)
        reads = (HuggingFaceLanguage.read, PretrainedSubwords.read) if language else (PretrainedEncoder.read,)
        sentences = [one_sentence(read, folder) for read in (*reads, shaped(language))]
        ran = target.exists() or any("evil" in module for module in set(sys.modules) - before)
        held += not ran and all(sentences) and "[y/N]" not in "".join(capfd.readouterr())
    record("hostile folders: nothing in them is run", len(chosen), held)


def shaped(language: bool) -> Callable[[Path], object]:
    return HuggingFaceLanguage.shaped if language else PretrainedEncoder.shaped


def one_sentence(read: Callable[[Path], object], folder: Path) -> bool:
    """Does it succeed, or say in one line why not?"""
    try:
        read(folder)
    except LimnerError as error:
        return len(str(error).splitlines()) == 1
    return True


def test_the_library_is_called_in_one_place_that_trusts_nothing() -> None:
    """Every call of `transformers` that reads a folder says so, and no other module makes one; no pickle is loaded but
    by torch as weights only."""
    root = Path(limner.__file__).parent
    found = []
    for path in sorted(root.rglob("*.py")):
        for call in [
            node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)
        ]:
            name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
            options = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
            owner = ast.unparse(call.func.value) if isinstance(call.func, ast.Attribute) else ""
            if name in ("from_pretrained", "from_config", "pipeline"):
                found.append(path.relative_to(root).as_posix())
                assert options["trust_remote_code"] == "False", ast.unparse(call)
                assert name == "from_config" or options["local_files_only"] == "True", ast.unparse(call)
            if owner == "torch" and name == "load":
                assert options["weights_only"] == "True", f"{path}: {ast.unparse(call)}"
            assert owner.split(".")[0] not in ("pickle", "joblib", "dill", "shelve"), f"{path}: {ast.unparse(call)}"
            assert "allow_pickle" not in options or options["allow_pickle"] == "False", f"{path}: {ast.unparse(call)}"
    assert set(found) == {"nn/pretrained_folder.py"}
    assert len(found) == 4


@pytest.mark.parametrize("part", ["language", "encoder"])
def test_a_model_folder_of_limner_runs_nothing(part: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The parts that a saved image-text model carries."""
    from limner.recipes.understanding.llava import RECIPE
    from limner.store.folder import build

    eyes, words = write_encoder(tmp_path / "eyes"), write_language(tmp_path / "words", "Qwen2")
    knobs = RECIPE.knobs(**{**RECIPE.tiny, "encoder": str(eyes), "language": str(words)})
    saved = limner.save(build("understanding/llava", knobs), tmp_path / "saved")
    limner.load(saved)
    (saved / part / "evil.py").write_text(CODE.format(target=str(tmp_path / "ran")))
    file = saved / part / "config.json"
    mapping = {"AutoConfig": "evil.M", "AutoModel": "evil.M", "AutoModelForCausalLM": "evil.M"}
    file.write_text(json.dumps({**json.loads(file.read_text()), "auto_map": mapping}))
    monkeypatch.setattr(sys, "stdin", io.StringIO("yes\n" * 9))
    with pytest.raises(InputError, match="asks for Python of its own"):
        limner.load(saved)
    assert not (tmp_path / "ran").exists()
    assert not list(saved.glob("*.py"))
