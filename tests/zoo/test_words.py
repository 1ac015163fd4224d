"""Recipes that see in words, their own or the language model's: every knob is felt, and what cannot be is refused."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from limner.errors import InputError

pytestmark = pytest.mark.timeout(300)  # the first test of a session trains what it needs

SMALL: dict[str, Any] = {"size": 16, "patch": 8, "encoder_width": 64, "encoder_depth": 1, "width": 64, "depth": 1}
SMALL = {**SMALL, "vocabulary": 384, "turns": 2, "threads": 1}


@pytest.fixture(autouse=True)
def read_little(monkeypatch):
    from limner.recipes.understanding import asked

    monkeypatch.setattr(asked, "READ", 20)


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


@pytest.mark.parametrize(
    "options",
    [
        {"phi": "unconstrained", "centred": False, "tie": "snapshot"},
        {"phi": "sparsemax", "basis": "clusters", "entries": 16},
        {"phi": "top-k", "k": 3, "dense_until": 0.0, "sparse_from": 0.0, "basis": "frequent", "entries": 40, "leak": 2},
        {"basis": "random", "entries": 40, "tie": "live"},
        {"phi": "unconstrained", "basis": "principal", "entries": 8, "tie": "live"},
        {"basis": "matched"},
        {"basis": "learned", "entries": 40},
        {"head": "attention", "tau": 0.5},
    ],
    ids=lambda options: " ".join(map(str, options.values())),
)
def test_every_knob_makes_a_model_that_learns(options):
    from limner.recipes.understanding import language_basis

    model = step(language_basis, **options).model
    words = model.connector
    assert all(p.grad is not None for p in words.parameters() if p.requires_grad)
    assert words.head.hidden(torch.ones(1, 4, 64)).shape[:2] == (1, 4)
    assert words.basis.size == options.get("entries", 384)
    image = torch.rand(2, 3, 16, 16)
    with torch.no_grad():
        patches = model.encoder(image)
        ids, weights = words.top_words(patches, model.language.words, 3)
    assert ids.shape == weights.shape == (2, 4, 3)
    assert (weights.diff(dim=-1) <= 0).all()
    if options.get("phi") == "top-k":
        assert ((words.coefficients(patches.vectors, model.language.words) > 0).sum(-1) == 3).all()


def test_the_most_frequent_words_are_those_of_the_talk():
    from limner.recipes.understanding import language_basis

    task = step(language_basis, basis="frequent", entries=60)
    ids = set(task.model.connector.basis.basis.ids.tolist())
    assert len(ids) == 60
    assert set(task.model.vocabulary.ids("what colour is the star ?")) <= ids


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
        wanted = superclass.taught.patch_logits(image)
        found = model.connector.head.scores(model.encoder(image).vectors.flatten(0, 1), model.language.words)
    theirs, ours = superclass.subwords.vocabulary.get_vocab(), model.vocabulary.vocabulary.get_vocab()
    shared = [word for word in ours if word in theirs]
    assert len(shared) > 50
    columns, rows = [ours[word] for word in shared], [theirs[word] for word in shared]
    assert torch.allclose(found[:, columns], wanted.flatten(0, 1)[:, rows], atol=1e-4)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"head": "attention"}, "use --head dense and --basis all"),
        ({"basis": "clusters"}, "use --head dense and --basis all"),
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


@pytest.mark.parametrize("phi", ["softmax", "argmax", "gumbel"])
def test_ovis(phi):
    from limner.recipes.understanding import ovis

    task = step(ovis, phi=phi, entries=24, stride=2, images=80, batch=8)
    connector = task.model.connector
    assert task.model.slots == 1
    assert all(p.grad is not None for p in connector.parameters())
    if phi == "gumbel":
        assert (connector.phi.passes, int(connector.phi.seen)) == (10, 1)
        assert connector.phi.temperature == pytest.approx(5.0 - 4.95 / 10)
