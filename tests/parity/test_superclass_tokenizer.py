"""CLIP's subwords against the authors' code.

``LIMNER_CLIP_MERGES`` names CLIP's list of merges, which does not ship. Without it the few of them that decide the
texts recorded here stand at their ranks, among others that never occur.
"""

from __future__ import annotations

import itertools
import json
import os
from pathlib import Path

import pytest
import torch
from tests.parity.goldens import TESTS, Golden, goldens

from limner.languages.byte_pairs import CLIP_MERGES, BytePairs

CASES = goldens("superclass_tokenizer", having="out.ids")
KNOWN = TESTS / "golden" / "superclass_tokenizer-a.json"
CONTROLS = [chr(256 + n) for n in range(33)]  # the letters that stand for control bytes, which no text holds


def test_no_golden_is_missing() -> None:
    assert CASES


def thinned() -> list[tuple[str, str]]:
    """As many merges as CLIP has: the known ones at their ranks, the rest of control bytes."""
    known = json.loads((TESTS / "golden" / "clip_merges.json").read_text(encoding="utf-8"))["merges"]
    pairs = list(itertools.product(CONTROLS, CONTROLS))
    longer = [("".join(pair), letter) for pair in pairs for letter in CONTROLS]
    others = iter([*pairs, *longer, *(("".join(long), letter) for long in longer for letter in CONTROLS)])
    merges = []
    for rank in range(CLIP_MERGES):
        first, second = known[str(rank)].split() if str(rank) in known else next(others)
        merges.append((first, second))
    return merges


def vocabulary(golden: Golden) -> BytePairs:
    length = golden.card["context_length"]
    if named := os.environ.get("LIMNER_CLIP_MERGES"):
        return BytePairs.read(Path(named), length=length)
    if not set(golden.card["texts"]) <= set(json.loads(KNOWN.read_text(encoding="utf-8"))["texts"]):
        pytest.skip("other texts need all of CLIP's merges: name their file in LIMNER_CLIP_MERGES")
    return BytePairs(thinned(), length=length)


@pytest.mark.parametrize("golden", CASES)
def test_ids(golden: Golden) -> None:
    pairs = vocabulary(golden)
    assert (pairs.size, pairs.start, pairs.end) == tuple(golden.card[key] for key in ("vocab_size", "sot", "eot"))
    assert golden.card["pad"] == 0
    assert torch.equal(pairs.encode(golden.card["texts"]), golden["out.ids"])
