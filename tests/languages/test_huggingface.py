"""Language models of `transformers`: tiny random configurations of the real classes, saved and read back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from tests.languages.folders import write_encoder, write_language, write_tokenizer

transformers = pytest.importorskip("transformers", reason="pip install 'limner[llm]'")

KINDS = [("Qwen2", True), ("Qwen2", False), ("Qwen3", True), ("Llama", False), ("SmolLM3", True)]


@pytest.fixture(scope="module", params=KINDS, ids=lambda kind: f"{kind[0]}-{'tied' if kind[1] else 'untied'}")
def folder(request, tmp_path_factory) -> Path:
    kind, tied = request.param
    return write_language(tmp_path_factory.mktemp(kind), kind, tie_word_embeddings=tied)


@pytest.fixture
def language(folder):
    from limner.languages.huggingface import HuggingFaceLanguage

    return HuggingFaceLanguage.read(folder)


def ids(batch: int, count: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(0, 300, (batch, count), generator=torch.Generator().manual_seed(seed))


def visible(batch: int, count: int, picture: slice | None = None) -> torch.Tensor:
    from limner.languages.language import visibility

    pictures = torch.zeros(batch, count).long()
    if picture is not None:
        pictures[:, picture] = 1
    return visibility(torch.zeros(batch, count).long(), pictures)


def places(batch: int, count: int) -> torch.Tensor:
    return torch.arange(count).expand(batch, -1)


@torch.no_grad()
def test_text_means_what_it_means_to_the_library(folder, language):
    from limner.languages.language import LanguageModel

    assert isinstance(language, LanguageModel)
    text = ids(2, 12)
    wanted = transformers.AutoModelForCausalLM.from_pretrained(folder).eval()(text).logits
    hidden = language(language.embed(text), places(2, 12), visible(2, 12))
    assert hidden.shape == (2, 12, language.width) == (2, 12, 32)
    torch.testing.assert_close(language.logits(hidden), wanted, rtol=1e-4, atol=1e-5)
    assert torch.equal(language.embed(text), language.words[text])


@torch.no_grad()
def test_a_picture_sees_its_later_slots_and_text_does_not(language):
    first, second = language.embed(ids(1, 8)), language.embed(ids(1, 8))
    second[:, 4] = language.embed(ids(1, 1, seed=1))[:, 0]

    def moved(sight: torch.Tensor) -> torch.Tensor:
        before, after = (language(x, places(1, 8), sight) for x in (first, second))
        return (before - after).abs().amax(-1)[0]

    causal, block = moved(visible(1, 8)), moved(visible(1, 8, slice(1, 5)))
    assert causal[:4].max() == 0
    assert causal[4:].min() > 1e-3
    assert block[0] == 0
    assert block[1:].min() > 1e-3


@torch.no_grad()
def test_places_are_obeyed(language):
    """Rows that stand apart share the places after the picture; only distances count."""
    x = language.embed(ids(1, 6))
    near, far = (language(x, places(1, 6) + shift, visible(1, 6)) for shift in (0, 50))
    torch.testing.assert_close(near, far, rtol=1e-3, atol=1e-4)
    assert (near - language(x, places(1, 6) * 3, visible(1, 6))).abs().max() > 1e-3


@torch.no_grad()
def test_the_cache_changes_nothing(language):

    from limner.nn.cache import Rewindable

    x, sight = language.embed(ids(2, 9)), visible(2, 9, slice(0, 4))
    whole = language(x, places(2, 9), sight)
    cache, parts = language.cache(9), []
    assert isinstance(cache, Rewindable)
    for start, stop in ((0, 5), (5, 6), (6, 9)):
        assert cache.length(0) == start
        parts.append(language(x[:, start:stop], places(2, 9)[:, start:stop], sight[:, start:stop, :stop], cache))
    torch.testing.assert_close(torch.cat(parts, 1), whole, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_it_speaks_as_the_library_generates(folder, language):
    """Prompts of different lengths, padded on the right, go on as each does alone."""
    from limner.decode.text import complete

    prompts, lengths = ids(2, 7), torch.tensor([7, 4])
    spoken = complete(language, language.embed(prompts), visible(2, 7), lengths, stop=0, limit=6)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder).eval()
    for row, length, prompt in zip(spoken.tolist(), lengths.tolist(), prompts, strict=True):
        text = prompt[None, :length]
        for said in row:
            wanted = int(model(text).logits[0, -1].argmax())
            assert said == wanted
            if said == 0:
                break
            text = torch.cat([text, torch.tensor([[said]])], 1)


@torch.no_grad()
def test_half_precision_stays_inside(folder, language):
    from limner.languages.huggingface import HuggingFaceLanguage

    half = HuggingFaceLanguage.read(folder, dtype=torch.bfloat16)
    assert half.words.dtype == torch.float32
    assert {weight.dtype for weight in half.parameters() if weight is not half.words} == {torch.bfloat16}
    x = language.embed(ids(1, 8))
    whole, rounded = (model(x, places(1, 8), visible(1, 8)) for model in (language, half))
    assert rounded.dtype == torch.float32
    assert half.embed(ids(1, 2)).dtype == torch.float32
    assert 0 < (whole - rounded).abs().max() < 0.2 * whole.std()


def test_a_shape_without_weights_is_filled(folder, language):
    from limner.languages.huggingface import HuggingFaceLanguage

    shaped = HuggingFaceLanguage.shaped(folder)
    assert not torch.equal(shaped.words, language.words)
    shaped.load_state_dict(language.state_dict())
    assert torch.equal(shaped.words, language.words)
    assert {weight.dtype for weight in shaped.parameters()} == {torch.float32}


def test_too_much_is_refused(language):
    from limner.errors import InputError

    with pytest.raises(InputError, match="257 tokens is longer than this model's 256"):
        language(torch.zeros(1, 1, 32), torch.tensor([[256]]), torch.ones(1, 1, 1).bool())
    with pytest.raises(InputError, match="257 tokens are more than this model's 256"):
        language.cache(257)


@pytest.mark.parametrize(
    ("kind", "options", "sentence"),
    [
        ("Gemma2", {"head_dim": 8}, "cannot be read as a causal language model|looks back through a sliding window"),
        ("Granite", {"logits_scaling": 8.0}, "holds a granite, whose logits are no linear head"),
        ("Qwen2", {"use_sliding_window": True, "max_window_layers": 0}, "looks back through a sliding window"),
    ],
)
def test_what_would_not_be_exact_is_refused(tmp_path, kind, options, sentence):
    from limner.errors import InputError
    from limner.languages.huggingface import HuggingFaceLanguage

    with pytest.raises(InputError, match=sentence):
        HuggingFaceLanguage.read(write_language(tmp_path / "model", kind, **options))


def test_what_cannot_be_read_is_refused(tmp_path):
    from limner.errors import InputError
    from limner.languages.huggingface import HuggingFaceLanguage
    from limner.languages.pretrained_subwords import PretrainedSubwords

    with pytest.raises(InputError, match="cannot be read as a causal language model"):
        HuggingFaceLanguage.read(tmp_path)
    with pytest.raises(InputError, match="cannot be read as a causal language model"):
        HuggingFaceLanguage.shaped(write_encoder(tmp_path / "eyes"))
    folder = write_language(tmp_path / "model")
    (folder / "model.safetensors").unlink()
    with pytest.raises(InputError, match="holds no weights"):
        HuggingFaceLanguage.read(folder)
    with pytest.raises(InputError, match="holds no tokenizer"):
        PretrainedSubwords.read(tmp_path)
    write_tokenizer(tmp_path / "words")
    config = tmp_path / "words" / "tokenizer_config.json"
    config.write_text(json.dumps({"tokenizer_class": "PreTrainedTokenizerFast"}))
    with pytest.raises(InputError, match="no sign for the end"):
        PretrainedSubwords.read(tmp_path / "words")


def test_half_of_the_weights_are_not_enough(tmp_path):
    from safetensors.torch import load_file, save_file

    from limner.errors import InputError
    from limner.languages.huggingface import HuggingFaceLanguage

    folder = write_language(tmp_path / "model")
    kept = load_file(folder / "model.safetensors")
    del kept["model.layers.1.mlp.up_proj.weight"]
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InputError, match=r"the files lack model.layers.1.mlp.up_proj.weight \(1 in all\)"):
        HuggingFaceLanguage.read(folder)


def test_subwords(tmp_path):
    from limner.errors import InputError
    from limner.languages.pretrained_subwords import PretrainedSubwords
    from limner.unified.conversation import TextVocabulary

    write_tokenizer(tmp_path)
    words = PretrainedSubwords.read(tmp_path)
    assert isinstance(words, TextVocabulary)
    text = "The star is red, überall."
    assert words.text([*words.ids(text), words.end(), *words.ids("no")]) == text
    assert words.text(words.prompt_ids("Is it red?")) == "Is it red?"
    assert words.prompt_ids("Is it red?") == words.ids("Is it red?\n")
    chat = PretrainedSubwords.read(tmp_path, prompt="<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n")
    assert (chat.prompt_ids("red")[0], chat.prompt_ids("red").count(2)) == (1, 1)
    assert chat.ids("red") == words.ids("red")
    (star,) = words.ids(" star")
    assert words.word(star) == "star"
    assert words.word(words.ids("red")[0]).startswith("-")
    assert words.word(words.end()) == "<|endoftext|>"
    assert words.word(len(words) + 2) == f"[{len(words) + 2}]"
    with pytest.raises(InputError, match="has no place for the question"):
        PretrainedSubwords.read(tmp_path, prompt="question:")


def test_a_head_that_is_the_table_is_saved_once(tmp_path):
    import copy

    from limner.languages.huggingface import HuggingFaceLanguage

    language = HuggingFaceLanguage.read(write_language(tmp_path, tie_word_embeddings=True))
    state = language.state_dict()
    assert "model.model.embed_tokens.weight" in state
    assert "model.lm_head.weight" not in state
    twin = copy.deepcopy(language)
    twin.load_state_dict({name: value + 1 for name, value in state.items()})
    assert torch.equal(twin.words, language.words + 1)
    assert twin.model.lm_head.weight is twin.words
