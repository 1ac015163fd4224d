"""LangBridge against the authors' code: coefficients, vectors, gradients, and the words of another language model."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from tests.parity.goldens import Golden, agree, goldens

from limner.connectors.basis import LanguageBasis
from limner.store.official.langbridge import LANGBRIDGE, RELEASES, LangBridgeSizes, official_connector
from limner.store.released import load_released, recognise
from limner.types import Patches

GOLDENS = goldens("langbridge_adapter", having="out.embeds")


def test_no_golden_is_missing() -> None:
    assert GOLDENS


def filled(golden: Golden) -> LanguageBasis:
    config = golden.config
    connector = official_connector(
        LangBridgeSizes(
            features=config["mm_hidden_size"], hidden=config["mlp_hidden_size"], words=config["mm_vocab_size"]
        )
    )
    RELEASES[0].fill(connector, golden.state())
    return connector.eval()


@pytest.mark.parametrize("golden", GOLDENS)
def test_coefficients_vectors_and_gradients(golden: Golden) -> None:
    connector, words = filled(golden), golden["state.mm_vocab_matrix"]
    features = golden["in.features"].clone().requires_grad_()
    agree(connector.coefficients(features, words), golden["out.coefficients"])
    vectors = connector(Patches.on_grid(features, 1, features.shape[1]), words)
    agree(vectors, golden["out.embeds"])
    vectors.square().mean().backward()
    assert features.grad is not None
    scale = golden["out.grad_features_of_mean_sq"].abs().max()
    agree(features.grad / scale, golden["out.grad_features_of_mean_sq"] / scale)


@pytest.mark.parametrize("golden", GOLDENS)
@torch.no_grad()
def test_another_language_model(golden: Golden) -> None:
    other = golden["in.other_llm_basis"]
    assert other.shape[1] == golden.config["other_hidden"] == golden["out.embeds_other_llm"].shape[-1]
    features = golden["in.features"]
    agree(filled(golden)(Patches.on_grid(features, 1, features.shape[1]), other), golden["out.embeds_other_llm"])


@pytest.mark.parametrize("golden", GOLDENS)
def test_the_words_span_everything(golden: Golden) -> None:
    """Rank as large as width: without a constraint on coefficients the basis is none."""
    words = golden["state.mm_vocab_matrix"]
    spread = torch.linalg.svdvals(words)
    agree(spread, golden["out.basis_singular_values"])
    assert int((spread > 1e-3 * spread[0]).sum()) == words.shape[1] == golden.config["hidden_size"]


@pytest.mark.parametrize("golden", GOLDENS)
@pytest.mark.parametrize("stem", ["", "model."])
@torch.no_grad()
def test_a_file_is_recognised_and_read(golden: Golden, stem: str, tmp_path: Path) -> None:
    state = {stem + key: value for key, value in golden.state().items()}
    assert recognise(state, golden.path).system == "language-basis"
    save_file(state, tmp_path / "adapter.safetensors")
    released = load_released(tmp_path / "adapter.safetensors")
    assert released.report.skipped == (f"{stem}mm_vocab_matrix",)
    patches = Patches.on_grid(golden["in.features"], 1, golden["in.features"].shape[1])
    agree(released.model(patches, golden["state.mm_vocab_matrix"]), golden["out.embeds"])


def test_published_size() -> None:
    with torch.device("meta"):
        connector = official_connector(LANGBRIDGE)
    assert sum(p.numel() for p in connector.parameters()) / 1e6 == pytest.approx(130, rel=0.01)
