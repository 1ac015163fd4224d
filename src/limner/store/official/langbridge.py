"""LangBridge as its authors released it: the adapter, and the way from the names of its weights to ours.

Liao et al., arXiv:2503.19404, code and weights at github.com/CurryX-001/LangBridge. The paper speaks of a probability
distribution over words; the released code has coefficients of any sign, without a softmax, a mean or a gain::

    connector = limner.load("mm_projector.safetensors")
    vectors = connector(features, words)       # rows of the 19,200 words, in the authors' order

The words are no part of a file of the adapter: they are input vectors of whichever language model is to read, of the
subwords that Llama 3 and Qwen 2 share (their ``mm_vocab_matrix``), and any other's may take their place.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from limner.connectors.bases import AllWords
from limner.connectors.basis import LanguageBasis
from limner.connectors.coefficients import Unconstrained
from limner.connectors.scores import DenseHead
from limner.connectors.ties import Stopped
from limner.store.release import Release, State


@dataclass(frozen=True, kw_only=True)
class LangBridgeSizes:
    """How large an adapter is; the defaults are those of the released one behind CLIP-L."""

    features: int = 1024
    hidden: int = 5120
    words: int = 19_200


LANGBRIDGE = LangBridgeSizes()  # the official training scripts' sizes; 130 M parameters


def official_connector(sizes: LangBridgeSizes) -> LanguageBasis:
    """An adapter of these sizes, freshly initialised."""
    trunk = nn.Sequential(
        nn.Linear(sizes.features, sizes.hidden), nn.GELU(), nn.Linear(sizes.hidden, sizes.hidden)
    )  # no activation between the last two matrices: theirs has none
    head = DenseHead(trunk, sizes.hidden, sizes.words)
    return LanguageBasis(head, Unconstrained(), Stopped(AllWords(sizes.words)), centred=False)


def sizes_of(state: State) -> LangBridgeSizes:
    """The sizes that the shapes of a prepared state dict tell."""
    hidden, features = state["mm_projector.0.weight"].shape
    return LangBridgeSizes(features=features, hidden=hidden, words=len(state["mm_projector.3.weight"]))


def plain(state: State) -> dict[str, Tensor]:
    """Names without the models that the adapter was saved in."""
    return {key[key.find("mm_projector.") :] if "mm_projector." in key else key: state[key] for key in state}


NAMES = (
    (r"^head\.trunk\.", "mm_projector."),
    (r"^head\.output\b", "mm_projector.3"),
)
SKIP = r"^(?!mm_projector\.)"  # the words, and the language model and encoder that a whole checkpoint holds

RELEASES = (
    Release(
        system="language-basis",
        kind="adapter",
        signature=("*mm_projector.0.weight", "*mm_projector.2.weight", "*mm_projector.3.weight"),
        build=lambda state: official_connector(sizes_of(state)),
        names=NAMES,
        skip=SKIP,
        prepare=plain,
    ),
)
