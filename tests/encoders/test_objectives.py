"""The objectives against what their equations say, written out pair by pair and subword by subword."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import multiprocessing
from torch.nn import functional


def units(count: int, seed: int) -> torch.Tensor:
    return functional.normalize(torch.randn(count, 6, generator=torch.Generator().manual_seed(seed)), dim=1)


@torch.no_grad()
def test_infonce_tells_partners_from_the_batch():
    from limner.encoders.objectives.infonce import InfoNce

    objective, image, text = InfoNce(0.1), units(5, 0), units(5, 1)
    assert float(objective.scale) == pytest.approx(10.0)
    total = 0.0
    for i in range(5):
        rows = [10 * float(image[i] @ text[j]) for j in range(5)]
        columns = [10 * float(image[j] @ text[i]) for j in range(5)]
        total -= (rows[i] - math.log(sum(map(math.exp, rows)))) / 10
        total -= (columns[i] - math.log(sum(map(math.exp, columns)))) / 10
    assert float(objective(image, text)) == pytest.approx(total, abs=1e-5)
    assert float(objective(image, image)) < float(objective(image, image.roll(1, 0)))


@torch.no_grad()
def test_the_scale_is_bounded():
    from limner.encoders.objectives.infonce import InfoNce

    objective = InfoNce()
    objective.log_scale.fill_(9.0)
    assert float(objective.scale) == pytest.approx(100.0)


@torch.no_grad()
def test_sigmoid_asks_every_pair():
    from limner.encoders.objectives.sigmoid import PairwiseSigmoid

    objective, image, text = PairwiseSigmoid(scale=4.0, bias=-2.0), units(4, 0), units(4, 1)
    total = 0.0
    for i in range(4):
        for j in range(4):
            logit = 4.0 * float(image[i] @ text[j]) - 2.0
            total += math.log1p(math.exp(-logit if i == j else logit))
    assert float(objective(image, text)) == pytest.approx(total / 4, abs=1e-5)


@pytest.mark.parametrize("name", ["InfoNce", "PairwiseSigmoid"])
def test_objectives_learn_their_scale(name):
    from limner.encoders.objectives.infonce import InfoNce
    from limner.encoders.objectives.sigmoid import PairwiseSigmoid

    objective = {"InfoNce": InfoNce, "PairwiseSigmoid": PairwiseSigmoid}[name]()
    with torch.autocast("cpu", torch.bfloat16):
        loss = objective(units(4, 0), units(4, 1))
    assert loss.dtype == torch.float32
    loss.backward()
    assert all(weight.grad is not None and weight.grad != 0 for weight in objective.parameters())


# Subword sets

IDS = torch.tensor([[5, 3, 3, 0], [5, 4, 0, 0], [5, 3, 2, 6]])


def frequency(drop: tuple[int, ...] = ()):
    from limner.encoders.objectives.subword_set import SubwordFrequency

    return SubwordFrequency(8, drop)


def weights_by_hand(captions: list[set[int]]) -> list[float]:
    held = [sum(v in caption for caption in captions) for v in range(8)]
    return [math.log((len(captions) + 1) / (count + 1)) for count in held]


def test_weights_are_those_of_all_captions_so_far():
    statistics = frequency().train()
    seen: list[set[int]] = []
    for ids in (IDS, IDS.flip(0), torch.tensor([[1, 1, 1, 1]] * 3)):
        statistics.observe(ids)
        seen += [set(row) for row in ids.tolist()]
        assert statistics.weights()[0].tolist() == pytest.approx(weights_by_hand(seen), abs=1e-12)
    assert statistics.counts.dtype == statistics.steps.dtype == torch.float64


def test_the_present_batch_counts_before_it_weighs_and_evaluation_changes_nothing():
    statistics = frequency().train()
    logits = torch.randn(3, 8, generator=torch.Generator().manual_seed(0))
    weights = weights_by_hand([set(row) for row in IDS.tolist()])
    total = 0.0
    for row, ids in zip(logits.log_softmax(1).tolist(), IDS.tolist(), strict=True):
        held = {v: weights[v] for v in set(ids)}
        total -= sum(row[v] * weight for v, weight in held.items()) / sum(held.values()) / 3
    assert float(statistics(logits, IDS)) == pytest.approx(total, abs=1e-5)
    before = {name: buffer.clone() for name, buffer in statistics.state_dict().items()}
    statistics.eval()
    assert float(statistics(logits, IDS)) == pytest.approx(total, abs=1e-5)
    assert before.keys() == {"counts", "steps", "group"}
    assert all(torch.equal(buffer, before[name]) for name, buffer in statistics.state_dict().items())


def test_a_subword_of_every_caption_weighs_nothing():
    statistics = frequency().train()
    statistics.observe(IDS)
    assert float(statistics.weights()[0, 5]) == 0.0
    assert float(statistics.weights()[0, 7]) == statistics.weights().max()
    all_common = torch.full((2, 4), 5)
    assert statistics.eval().dense(all_common).abs().sum() == 0.0
    assert float(statistics(torch.randn(2, 8), all_common)) == 0.0


def test_dropped_ids_are_gone_even_where_they_would_weigh():
    kept, without = frequency().train(), frequency(drop=(0,)).train()
    for statistics in (kept, without):
        statistics.observe(IDS)
    assert (kept.dense(IDS)[:, 0] > 0).tolist() == [True, True, False]  # the full caption has no padding
    assert (without.dense(IDS)[:, 0] == 0).all()
    assert float(without.counts[0, 0]) == 0.0
    assert torch.allclose(without.dense(IDS).sum(1), torch.ones(3))


def test_statistics_are_saved_exactly():
    statistics, other = frequency().train(), frequency()
    statistics.observe(IDS)
    other.load_state_dict(statistics.state_dict())
    for rounded in (other, other.float(), other.to(torch.bfloat16)):
        assert rounded.counts.dtype == torch.float64
        assert torch.equal(rounded.weights(), statistics.weights())


@pytest.mark.slow
def test_processes_count_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(Path(__file__).parents[2])  # where the processes find this file
    ids = torch.cat([IDS, IDS.flip(0)])[:4]
    multiprocessing.spawn(_count, (ids, tmp_path), 2)
    alone = frequency().train()
    alone.observe(ids)
    alone.observe(ids.flip(1))
    for rank in (0, 1):
        state = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        assert all(torch.equal(value, state[name]) for name, value in alone.state_dict().items())


def _count(rank: int, ids: torch.Tensor, folder: Path) -> None:
    torch.set_num_threads(1)
    meeting = f"file://{folder / 'meeting'}"
    torch.distributed.init_process_group("gloo", init_method=meeting, rank=rank, world_size=2)
    statistics = frequency().train()
    for batch in (ids, ids.flip(1)):
        statistics.observe(batch[2 * rank : 2 * rank + 2])
    torch.save(statistics.state_dict(), folder / f"{rank}.pt")
    torch.distributed.destroy_process_group()
