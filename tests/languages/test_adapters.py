"""Low-rank adapters: they change nothing, then learn alone, and become part of the matrices when asked to."""

from __future__ import annotations

import pytest
import torch
from tests.languages.folders import write_language

pytest.importorskip("transformers", reason="pip install 'limner[llm]'")
pytest.importorskip("peft", reason="pip install 'limner[llm]'")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_language(tmp_path_factory.mktemp("model"))


@pytest.fixture(params=[torch.float32, torch.bfloat16], ids=str)
def language(request, folder):
    from limner.languages.huggingface import HuggingFaceLanguage

    return HuggingFaceLanguage.read(folder, dtype=request.param)


def said(language) -> torch.Tensor:
    x = language.embed(torch.arange(10)[None])
    hidden = language(x, torch.arange(10)[None], torch.ones(1, 10, 10).tril().bool())
    return language.logits(hidden).float()


def taught(language, steps: int = 3) -> None:
    learning = [weight for weight in language.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(learning, lr=1e-2)
    for _ in range(steps):
        loss = torch.nn.functional.cross_entropy(said(language)[0], torch.arange(10).flip(0))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def test_adapters_learn_alone_and_can_be_merged(language):
    from limner.languages.adapters import adapt, merge

    dtype = language.model.model.norm.weight.dtype
    with torch.no_grad():
        before = said(language)
    names = set(language.state_dict())
    adapt(language.model, rank=4, alpha=8.0)
    learning = {name: weight for name, weight in language.named_parameters() if weight.requires_grad}
    assert len(learning) == 2 * 7 * 2  # A and B of seven matrices in two blocks
    assert all("lora_" in name for name in learning)
    assert {weight.dtype for weight in learning.values()} == {torch.float32}
    assert language.model.model.norm.weight.dtype == dtype
    with torch.no_grad():
        torch.testing.assert_close(said(language), before)
    frozen = {name: weight.clone() for name, weight in language.named_parameters() if not weight.requires_grad}
    taught(language)
    assert all(torch.equal(weight, frozen[name]) for name, weight in language.named_parameters() if name in frozen)
    with torch.no_grad():
        after = said(language)
        assert (after - before).abs().max() > 0.05
        merge(language.model)
        tight = dtype == torch.float32
        torch.testing.assert_close(said(language), after, rtol=1e-4, atol=1e-4 if tight else 0.2 * float(after.std()))
    assert set(language.state_dict()) == names


def test_what_is_merged_is_a_model_of_the_library(folder, tmp_path):
    from limner.languages.adapters import adapt, merge
    from limner.languages.huggingface import HuggingFaceLanguage

    language = HuggingFaceLanguage.read(folder)
    adapt(language.model, rank=2)
    taught(language)
    merge(language.model)
    language.model.save_pretrained(tmp_path)
    with torch.no_grad():
        assert torch.equal(said(HuggingFaceLanguage.read(tmp_path)), said(language))


def test_chosen_layers(folder):
    from limner.errors import InputError
    from limner.languages.adapters import adapt
    from limner.languages.huggingface import HuggingFaceLanguage

    language = HuggingFaceLanguage.read(folder)
    adapt(language.model, rank=2, targets=("q_proj", "v_proj"))
    learning = [name for name, weight in language.named_parameters() if weight.requires_grad]
    assert len(learning) == 2 * 2 * 2
    assert all("q_proj" in name or "v_proj" in name for name in learning)
    other = HuggingFaceLanguage.read(folder)
    with pytest.raises(InputError, match="adapters find no layer among nothing_proj"):
        adapt(other.model, rank=2, targets=("nothing_proj",))
    with pytest.raises(InputError, match="rank 0 cannot be"):
        adapt(other.model, rank=0)
