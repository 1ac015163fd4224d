"""The study: arms of equal cost, controls that are what they say, a world laid out right, trials that resume."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random

import pytest
import torch
from studies.language_basis.__main__ import main
from studies.language_basis.arms import ALL, ARMS, PARAMETERS, Given, parameters
from studies.language_basis.controls import (
    Directions,
    Narrowing,
    PreconditionedMlp,
    flattened,
    least_squares,
    permutation,
)
from studies.language_basis.costs import costs
from studies.language_basis.givebacks import giveback
from studies.language_basis.learning import shuffled
from studies.language_basis.measures import blindfolded
from studies.language_basis.running import Study, read, write
from studies.language_basis.world import (
    KINDS,
    ROOM,
    SLOTS,
    SYMBOLS,
    described,
    retold,
    scenes,
    seen,
    symbols_in_place,
    told_rows,
    turns,
)

from limner.connectors.bases import AllWords, ChosenWords
from limner.connectors.basis import LanguageBasis
from limner.connectors.coefficients import Unconstrained
from limner.connectors.scores import DenseHead
from limner.languages.subwords import Subwords
from limner.types import Rng
from limner.unified.segments import NOTHING
from limner.unified.targets import Pixels


@pytest.fixture
def given() -> Given:
    torch.manual_seed(0)
    words = torch.randn(256, 64) @ torch.randn(64, 64) / 8 + 0.3
    return Given(words, torch.randn(8, SLOTS, 128), torch.arange(256).flip(0), 4, seed=3)


@pytest.mark.parametrize("arm", ALL, ids=lambda arm: arm.name)
def test_arms_have_equal_parameters_and_start_alike(arm, given: Given) -> None:
    connector = arm.build(given)
    assert abs(parameters(connector) / PARAMETERS - 1) < 0.025  # so that no two differ by 5 %
    vectors = connector(seen(given.features), given.words)
    centre = given.words.mean(0)
    reach = (vectors - centre).square().mean().sqrt() / (given.words - centre).square().mean().sqrt()
    assert 0.8 < reach < 1.25
    assert torch.equal(arm.build(given)(seen(given.features), given.words), vectors)


def test_a_step_of_any_arm_takes_equal_operations() -> None:
    spent = [cost.operations for cost in costs(("mlp", "free-words", "soft-matched", "soft-learned", "svd-4")).values()]
    assert max(spent) / min(spent) < 1.05


def test_permuted_words_under_a_permuted_head_are_the_same_connector(given: Given) -> None:
    order = permutation(256, 1)
    plain = LanguageBasis(DenseHead(torch.nn.Identity(), 128, 256), Unconstrained(), AllWords(256))
    moved = LanguageBasis(DenseHead(torch.nn.Identity(), 128, 256), Unconstrained(), ChosenWords(order))
    with torch.no_grad():
        plain.head.output.bias.normal_()
        moved.head.output.weight.copy_(plain.head.output.weight[order])
        moved.head.output.bias.copy_(plain.head.output.bias[order])
    both = [one(seen(given.features), given.words) for one in (plain, moved)]
    torch.testing.assert_close(*both, atol=1e-4, rtol=1e-3)
    for one, vectors in zip((plain, moved), both, strict=True):
        vectors.square().sum().backward()
        assert one.head.output.weight.grad is not None
    found = moved.head.output.weight.grad
    torch.testing.assert_close(plain.head.output.weight.grad[order], found, atol=1e-2, rtol=1e-3)


def test_a_preconditioned_mlp_descends_as_a_basis_would(given: Given) -> None:
    """One step of plain descent on W moves ``W E`` as it moves the last layer, up to one factor for all entries."""
    mlp = PreconditionedMlp(128, 64, hidden=32)
    mlp.precondition(given.words)
    vectors = mlp(seen(given.features), given.words)
    pull = torch.randn_like(vectors)
    (vectors * pull).sum().backward()
    hidden = torch.nn.functional.gelu(mlp.fc1(given.features)).flatten(0, 1)
    centred = given.words - given.words.mean(0)
    of_head = (pull.flatten(0, 1) @ centred.mT).mT @ hidden  # gradient of W in v = W h (E - mu)
    moved = centred.mT @ of_head
    assert mlp.fc2.weight.grad is not None
    cosine = torch.nn.functional.cosine_similarity(moved.flatten(), mlp.fc2.weight.grad.flatten(), dim=0)
    assert cosine > 0.9999
    assert parameters(mlp) == 128 * 32 + 32 + 32 * 64 + 64


def test_a_least_squares_map_finds_a_linear_one() -> None:
    torch.manual_seed(0)
    old, true = torch.randn(100, 8), torch.randn(8, 12)
    torch.testing.assert_close(least_squares(old, old @ true + 5.0), true, atol=1e-4, rtol=1e-4)


def test_random_directions_are_orthogonal_and_as_long_as_words_spread(given: Given) -> None:
    span = Directions(6, 64, seed=1)(given.words)
    gram = span.rows @ span.rows.mT
    torch.testing.assert_close(gram, torch.eye(6) * given.words.var(0, unbiased=False).mean(), atol=1e-4, rtol=1e-4)


def test_flattened_vectors_have_their_rank() -> None:
    torch.manual_seed(0)
    vectors = torch.randn(4, 5, 9) + 3.0
    flat = flattened(vectors, 3).flatten(0, 1)
    assert torch.linalg.matrix_rank(flat - flat.mean(0), atol=1e-3) == 3
    torch.testing.assert_close(flattened(vectors, 9), vectors, atol=1e-4, rtol=1e-4)


def test_words_are_narrowed_after_half_of_training() -> None:
    phi = Narrowing(2, 1, 1.0)
    scores = torch.tensor([[3.0, 2.0, 1.0, 0.0]])
    phi.passed()
    many = phi(scores)
    assert (many > 0).all()
    phi.passed()
    few = phi(scores)
    assert (few > 0).tolist() == [[True, True, False, False]]
    reach = (few / phi.scale - 0.25).norm() * phi.scale  # of shares from their mean
    torch.testing.assert_close(reach, (many - 0.25).norm())


def test_what_is_stopped_teaches_no_state_and_what_is_shuffled_meets_others() -> None:
    torch.manual_seed(0)
    target = Pixels(16, SLOTS)
    hidden, values = torch.randn(4, SLOTS, 16, requires_grad=True), torch.randn(4, SLOTS, target.channels)
    for kind, learns in (("denoising", False), ("regression", True), ("stopped", False)):
        back = giveback(kind, 16, target, seed=1)
        assert back is not None
        torch.nn.init.normal_(next(reversed(list(back.parameters()))))
        loss = back.loss(hidden, values, Rng(0))
        (found,) = torch.autograd.grad(loss, [hidden], allow_unused=True)
        assert (found is None) == (kind == "stopped")
        assert not learns or float(found.abs().sum()) > 0
    plain, mixed = (giveback(kind, 16, target, seed=1) for kind in ("denoising", "shuffled"))
    assert plain is not None
    assert mixed is not None
    other = plain.loss(hidden, values.roll(1, 0), Rng(0))
    assert torch.equal(mixed.loss(hidden, values, Rng(0)), other)
    assert giveback("none", 16, target, seed=1) is None


def test_every_pass_meets_every_scene_once() -> None:
    first, second = shuffled(0, 10, 10, seed=1), shuffled(10, 10, 10, seed=1)
    assert sorted(first.tolist()) == sorted(second.tolist()) == list(range(10))
    assert torch.equal(shuffled(7, 6, 10, seed=1), torch.cat([first[7:], second[:3]]))
    assert not torch.equal(first, shuffled(0, 10, 10, seed=2))


@pytest.fixture(scope="module")
def words() -> Subwords:
    source = scenes("train", 5, 60)
    said = [part for i in range(60) for turn in turns(source[i], i) for part in turn[:2]]
    said += [thing.text for i in range(60) for thing in described(source[i])]
    return Subwords.trained(said, size=256, length=ROOM, speaks=True)


def test_descriptions_lie_where_things_lie(words: Subwords) -> None:
    source = scenes("train", 5, 20)
    told = [described(source[i]) for i in range(20)]
    rows = told_rows(told, [turns(source[i], i) for i in range(20)], words).take(torch.arange(20))
    packed = rows.packed
    for row, things in enumerate(told):
        count = sum(len(words.ids(thing.text)) for thing in things)
        spelled = [words.ids(thing.text) for thing in things]
        assert packed.ids[row, :count].tolist() == [i for ids in spelled for i in ids]
        assert set(packed.positions[row, :count].tolist()) == {thing.place for thing in things}
        assert (packed.blocks[row] > 0).sum() == count
    assert packed.positions[packed.branches == 1].min() == SLOTS
    assert not packed.of("seen").any()
    learned = packed.targets != NOTHING
    assert (packed.targets[learned] == rows.coming[learned]).all()
    assert set(rows.kinds[rows.kinds >= 0].tolist()) <= set(range(len(KINDS)))


def test_nobody_sees_the_slots_of_a_picture_that_is_hidden(words: Subwords) -> None:
    source = scenes("train", 5, 4)
    rows = told_rows([described(source[i]) for i in range(4)], [turns(source[i], i) for i in range(4)], words)
    packed = blindfolded(rows.take(torch.arange(4)).packed)
    text, told = packed.branches > 0, packed.blocks > 0
    assert told.any(1).all()
    assert not (packed.visible() & text[:, :, None] & told[:, None, :]).any()


def test_retelling_says_the_same_in_another_order() -> None:
    things = described(next(scene for scene in scenes("train", 5, 50) if len(scene.things) == 3))
    again = retold(things, Random(1))
    assert sorted(again.replace(",", "").split()) == sorted(" ".join(thing.text for thing in things).split())
    assert again != " , ".join(thing.text for thing in things)


def test_symbols_lie_under_things() -> None:
    said = []
    for scene in (scenes("train", 5, 30)[i] for i in range(30)):
        found = {tuple(row) for row in symbols_in_place(scene).tolist()} - {(0, 0, 0, 0)}
        assert all(len({SYMBOLS[number - 1] for number in row}) == 4 for row in found)
        named = {" ".join(SYMBOLS[number - 1] for number in (row[2], row[0], row[1], row[3])) for row in found}
        assert named <= {thing.text for thing in described(scene)}
        said.append(len(named) / len(scene.things))
    assert sum(said) / len(said) > 0.75  # a small thing may lie in four patches, and in none of them enough


SCALE = 0.004


def study(folder: Path, said: list[str], minutes: float = 0.0) -> Study:
    return Study(folder, 1, ("H1",), SCALE, minutes, said.append)


@pytest.mark.slow
def test_a_study_goes_on_where_it_stopped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, said = tmp_path / f"language-basis-{SCALE:g}", []
    assert not study(folder, said, minutes=1e-9).run()
    assert len(read(folder)) == 1
    assert study(folder, said).run()
    results = read(folder)
    assert {content["trial"]["arm"] for content in results.values() if "trial" in content} == {
        *("mlp", "mlp-preconditioned", "free-words", "free-matched", "free-permuted")
    }
    said.clear()
    assert study(folder, said).run()
    assert said == []
    command = ["--scale", str(SCALE), "--seeds", "1", "--hypotheses", "H1"]
    assert main([*command, "--runs", str(tmp_path), "--out", str(tmp_path / "page"), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert [one["outcome"] for one in report["verdicts"]] == ["undecided"] * 5
    assert read(tmp_path / "page" / "language-basis.json") == results
    assert all(Path(file).is_file() for file in report["files"])


def test_results_travel_in_one_file(tmp_path: Path) -> None:
    results = {"b": {"test": {"all": 0.5}}, "a": {"curve": [1.0, 2.0]}}
    write(results, tmp_path / "all.json")
    assert read(tmp_path / "all.json") == results


@pytest.mark.parametrize(
    ("arguments", "cause"),
    [
        (["--hypotheses", "H6"], "there is no hypothesis 'H6'"),
        (["--seeds", "0"], "at least one seed"),
        (["--results", "nowhere.json"], "holds no results"),
    ],
)
def test_what_cannot_be_studied_is_refused(
    arguments: list[str], cause: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    assert cause in capsys.readouterr().err


def test_arms_are_named_once() -> None:
    assert len(ARMS) == len(ALL)
