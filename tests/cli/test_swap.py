"""``limner swap``: two folders become a third, which loads, sees, and is measured."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest


@pytest.fixture(scope="module")
def others(saved_model: Callable[..., str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Language models of another size, with the same words and with fewer."""
    folder = tmp_path_factory.mktemp("others")
    made = {"same": {"width": 128, "depth": 2, "length": 300}, "fewer": {"vocabulary": 60}}
    return {name: saved_model(folder / name, "understanding/llava", seed=1, **knobs) for name, knobs in made.items()}


def test_the_swapped_model_is_saved_and_measured(command_line, seeing, others, tmp_path):
    import limner

    out = tmp_path / "swapped"
    arguments = ["swap", seeing, others["same"], "--out", out, "-n", 3, "--control", "permuted"]
    outcome = command_line(*arguments, "--json")
    assert outcome.code == 0, outcome.err
    said = json.loads(outcome.out)
    assert (said["model"], said["language"], said["file"], said["scenes"]) == (seeing, others["same"], str(out), 3)
    assert list(said["scores"]) == ["own", "majority", "swapped", "permuted", "native", "chance"]
    assert all(0 <= share <= 1 for of in said["scores"].values() for share in of.values())
    first, second, made = (limner.load(name) for name in (seeing, others["same"], out))
    assert (made.language.width, len(made.language.blocks), made.language.length) == (128, 2, 300)
    assert made.language.state_dict().keys() == second.language.state_dict().keys()
    for name, value in made.language.state_dict().items():
        assert value.equal(second.language.state_dict()[name])
    for name, value in made.encoder.state_dict().items():
        assert value.equal(first.encoder.state_dict()[name])
    card = json.loads((out / "recipe.json").read_text())
    assert card["recipe"] == "understanding/language_basis"
    assert set(card["swapped"]) == {"model", "language"}
    table = command_line(*arguments)
    assert "own" in table.out
    assert "permuted" in table.out
    assert f"wrote {out}" in table.out


def test_what_cannot_be_swapped_is_said(command_line, seeing, others, tmp_path):
    out = tmp_path / "out"
    for arguments, said in (
        ([seeing, others["fewer"]], "have 80 and 60 words"),
        ([others["same"], seeing], "mixes no words"),
        ([seeing, "vae-64"], "vae-64 is no model that only sees"),
        ([seeing, others["same"], "-n", 0], "--count is 0"),
    ):
        outcome = command_line("swap", *arguments, "--out", out)
        assert (outcome.code, outcome.out) == (2, "")
        assert said in outcome.err
    assert not out.exists()


def test_a_language_model_is_taught_in_the_words_of_another(seeing):
    import limner
    from limner.errors import InputError
    from limner.store.folder import find_recipe

    words = limner.load(seeing).vocabulary
    recipe = find_recipe("understanding/llava")
    tiny = {"size": 16, "encoder_width": 64, "encoder_depth": 1, "width": 64, "depth": 1}
    own = recipe.task(recipe.knobs(**tiny, vocabulary=90, subwords=seeing)).model.vocabulary
    assert [own.word(row) for row in range(len(own))] == [words.word(row) for row in range(len(words))]
    with pytest.raises(InputError, match="more than --vocabulary 20"):
        recipe.task(recipe.knobs(**tiny, vocabulary=20, subwords=seeing))
    with pytest.raises(InputError, match="vae-64 has no subwords"):
        recipe.task(recipe.knobs(**tiny, subwords="vae-64"))


def test_what_a_swap_keeps_is_counted_from_the_commonest_answers():
    from limner.cli.swap import kept

    scores = {name: {"overall": share} for name, share in (("own", 0.8), ("swapped", 0.65), ("majority", 0.3))}
    assert "keeps 70 %" in kept(scores)
    assert "nothing to keep" in kept({**scores, "own": {"overall": 0.2}})
