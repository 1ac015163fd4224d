from __future__ import annotations

import pytest
import torch


def test_usage_and_perplexity_of_known_ids():
    from limner.evaluate.codebook import code_shares, perplexity, usage

    even = code_shares(torch.arange(8).reshape(2, 4), 16)
    assert usage(even) == 0.5
    assert perplexity(even) == pytest.approx(8.0)
    uneven = code_shares(torch.tensor([[0, 0, 0, 1]]), 2)
    assert usage(uneven) == 1.0
    assert perplexity(uneven) == pytest.approx(4 / 27**0.25)
    assert perplexity(code_shares(torch.zeros(3, 3, dtype=torch.long), 5)) == pytest.approx(1.0)


def test_ids_outside_the_codebook_are_refused():
    from limner.errors import InputError
    from limner.evaluate.codebook import code_shares

    for ids in (torch.tensor([16]), torch.tensor([-1]), torch.zeros(0, dtype=torch.long)):
        with pytest.raises(InputError, match="0 to 15"):
            code_shares(ids, 16)
