"""Recipes that see in words, their own or the language model's: every knob is felt, and what cannot be is refused."""

from __future__ import annotations

import importlib
from typing import Any

import pytest
import torch

from limner.errors import InputError

pytestmark = pytest.mark.timeout(300)  # the first test of a session trains what it needs

SMALL: dict[str, Any] = {"size": 16, "patch": 8, "encoder_width": 64, "encoder_depth": 1, "width": 64, "depth": 1}
SMALL = {**SMALL, "vocabulary": 384, "turns": 2, "threads": 1}


@pytest.fixture(autouse=True)
def read_little(monkeypatch):
    from limner.lessons import conversations

    monkeypatch.setattr(conversations, "READ", 20)


def step(recipe: Any, **options: Any):
    """The task, and the gradients of its first batch."""
    from limner.types import Rng

    torch.manual_seed(0)
    task = recipe.RECIPE.task(recipe.Knobs(**{**SMALL, **options}))
    task.model.train()
    loss, _ = task.loss(task.model, task.batch(0, 4), Rng(0))
    loss.backward()
    assert torch.isfinite(loss)
    return task


def mixtures() -> dict[str, Any]:
    from limner.connectors import bases, coefficients, controls, ties
    from limner.connectors.scores import AttentionHead
    from limner.recipes.understanding.language_basis import Mixture

    return {
        "unconstrained, of the words as they were": Mixture(
            phi=lambda knobs: coefficients.Unconstrained(),
            basis=lambda knobs, words, chosen: ties.Snapshot(bases.AllWords(len(words)), words.shape[1]),
        ),
        "sparsemax of clusters": Mixture(
            phi=lambda knobs: coefficients.Sparsemax(knobs.tau),
            basis=lambda knobs, words, chosen: bases.Clusters(len(words), 16, knobs.seed),
        ),
        "directions, teaching the words": Mixture(
            phi=lambda knobs: coefficients.Unconstrained(),
            basis=lambda knobs, words, chosen: bases.Principal(len(words), 8),
        ),
        "vectors of its own": Mixture(basis=lambda knobs, words, chosen: controls.Learned(40, words.shape[1])),
        "attention to words": Mixture(
            head=lambda features, basis, width: AttentionHead(torch.nn.Identity(), features, width)
        ),
    }


@pytest.mark.parametrize("name", mixtures())
def test_a_recipe_may_mix_otherwise(name):
    from limner.recipes.understanding.language_basis import Knobs, build, lesson
    from limner.types import Rng

    torch.manual_seed(0)
    knobs, mixture = Knobs(**SMALL, tau=0.5, leak=2, centred="as they were" not in name), mixtures()[name]
    task = lesson(knobs, build(knobs, mixture), mixture)
    loss, _ = task.loss(task.model.train(), task.batch(0, 4), Rng(0))
    loss.backward()
    assert torch.isfinite(loss)
    words = task.model.connector
    assert all(p.grad is not None for p in words.parameters() if p.requires_grad)
    assert words.basis.size == {"sparsemax of clusters": 16, "vectors of its own": 40}.get(name, words.basis.size)


def test_few_words_are_the_most_frequent_and_k_are_left():
    from limner.recipes.understanding import language_basis_sparse

    task = step(language_basis_sparse, frequent=60, k=3, dense_until=0.0, sparse_from=0.0)
    model, words = task.model, task.model.connector
    ids = set(words.basis.basis.ids.tolist())
    assert len(ids) == 60
    assert set(model.vocabulary.ids("what colour is the star")) <= ids
    with torch.no_grad():
        patches = model.encoder(torch.rand(2, 3, 16, 16))
        found, weights = words.top_words(patches, model.language.words, 4)
    assert found.shape == weights.shape == (2, 4, 4)
    assert (weights.diff(dim=-1) <= 0).all()
    assert ((weights > 0).sum(-1) == 3).all()


def test_the_control_mixes_no_words():
    from limner.recipes.understanding import language_basis_matched

    words = step(language_basis_matched).model.connector
    assert type(words.basis.basis).__name__ == "Matched"
    assert words.basis.size == 384


def test_older_cards_are_read_where_their_choice_is_left(tmp_path):
    from limner.errors import CheckpointError
    from limner.recipes.understanding.language_basis import Knobs
    from limner.store.knobs import parse_knobs

    older = {"phi": "softmax", "basis": "all", "tie": "stopped", "head": "dense", "k": 8, "entries": 256, "width": 64}
    assert parse_knobs(Knobs, older, tmp_path) == Knobs(width=64)
    with pytest.raises(CheckpointError, match="sets basis to 'clusters', but only 'all' is left"):
        parse_knobs(Knobs, {**older, "basis": "clusters"}, tmp_path)


def test_vectors_start_as_far_from_their_mean_as_words(trained):
    from limner.recipes.understanding import language_basis

    task = step(language_basis)
    words, table = task.model.connector, task.model.language.words.detach()
    with torch.no_grad():
        image = task.batch(0, 32)["image"]
        away = words(task.model.encoder(image), table) - words.basis(table).mean
    assert float(away.square().mean() / table.var(0).mean()) == pytest.approx(1, rel=0.02)


def test_it_starts_as_superclass_speaks(trained):
    import limner
    from limner.recipes.understanding import language_basis

    given = trained("encoders/superclass").name
    task = step(language_basis, encoder=given, classifier=True)
    model, superclass = task.model, limner.load(given)
    image = torch.rand(2, 3, 16, 16) * 2 - 1
    with torch.no_grad():
        wanted = superclass.learner.patch_logits(image)
        found = model.connector.head.scores(model.encoder(image).vectors.flatten(0, 1), model.language.words)
    theirs, ours = superclass.subwords.vocabulary.get_vocab(), model.vocabulary.vocabulary.get_vocab()
    shared = [word for word in ours if word in theirs]
    assert len(shared) > 50
    columns, rows = [ours[word] for word in shared], [theirs[word] for word in shared]
    assert torch.allclose(found[:, columns], wanted.flatten(0, 1)[:, rows], atol=1e-4)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"encoder": None}, "--encoder None has no linear classifier"),
        ({"encoder": "clip-64"}, "--encoder clip-64 has no linear classifier"),
    ],
)
def test_a_classifier_that_there_is_not(trained, options, sentence):
    from limner.recipes.understanding import language_basis

    given = {"encoder": trained("encoders/superclass").name, **options}
    if given["encoder"] == "clip-64":
        trained("encoders/clip")
    with pytest.raises(InputError, match=sentence):
        language_basis.RECIPE.task(language_basis.Knobs(**{**SMALL, **given}, classifier=True))


@pytest.mark.parametrize("name", ["ovis", "ovis_argmax", "ovis_gumbel"])
def test_ovis(name):
    recipe = importlib.import_module(f"limner.recipes.understanding.{name}")
    task = step(recipe, entries=24, stride=2, images=80, batch=8)
    connector = task.model.connector
    assert task.model.image_tokens == 1
    assert all(p.grad is not None for p in connector.parameters())
    mixed = {"ovis": 24, "ovis_argmax": 1, "ovis_gumbel": 1}[name]
    scores = torch.randn(5, 24)
    assert ((connector.phi(scores).detach().abs() > 1e-9).sum(-1) == mixed).all()
    if name == "ovis_gumbel":
        assert (connector.phi.passes, int(connector.phi.seen)) == (10, 1)
        assert connector.phi.temperature == pytest.approx(5.0 - 4.95 / 10)


def test_cards_of_ovis_name_the_recipe_of_their_coefficients(tmp_path):
    from limner.errors import CheckpointError
    from limner.recipes.understanding import ovis, ovis_argmax, ovis_gumbel
    from limner.store.knobs import parse_knobs

    older = {"phi": "softmax", "warmest": 5.0, "coldest": 0.05, "entries": 24}
    assert parse_knobs(ovis.Knobs, older, tmp_path) == ovis.Knobs(entries=24)
    assert parse_knobs(ovis_argmax.Knobs, {**older, "phi": "argmax"}, tmp_path) == ovis_argmax.Knobs(entries=24)
    drawn = parse_knobs(ovis_gumbel.Knobs, {**older, "phi": "gumbel", "warmest": 2.0}, tmp_path)
    assert drawn == ovis_gumbel.Knobs(entries=24, warmest=2.0)
    with pytest.raises(CheckpointError, match="sets phi to 'gumbel', but only 'softmax' is left"):
        parse_knobs(ovis.Knobs, {**older, "phi": "gumbel"}, tmp_path)
