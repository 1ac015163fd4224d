"""Laws of knobs: every one is read, a page of help is short, and cards of older models are still understood."""

from __future__ import annotations

import copy
import dataclasses
import json
import sys
import typing
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from limner.catalogue.places import shipped as shipped_in
from limner.catalogue.recipes import find_recipes
from limner.errors import CheckpointError, InputError
from limner.train.settings import Settings

pytestmark = pytest.mark.timeout(300)  # the first test of a session trains what it needs

RECIPES = tuple(entry.path for entry in find_recipes() if entry.trains)
AT_RELEASE = {path for path in RECIPES if path.startswith("understanding/")} - {"understanding/llava"}
ELSEWHERE = {  # read only with models of transformers or a file of conversations: tests/zoo/test_real_scale.py
    "understanding": {"encoder_layer", "prompt", "lora_alpha", "lora_targets", "pictures", "fitted", "max_pixels"},
}


def watched(knobs: Any) -> tuple[Any, set[str]]:
    """The knobs, and the names that are read of them from now on, but for copies that dataclasses make."""
    reads: set[str] = set()

    class Watched(type(knobs)):
        def __getattribute__(self, name: str) -> Any:
            if sys._getframe(1).f_code.co_filename != dataclasses.__file__:
                reads.add(name)
            return super().__getattribute__(name)

    same = copy.copy(knobs)
    object.__setattr__(same, "__class__", Watched)
    return same, reads


def choices(knobs: Any, names: set[str]) -> Iterator[Any]:
    """The knobs with another choice in one of ``names``: some are read beside certain choices alone."""
    hints = typing.get_type_hints(type(knobs))
    for name in sorted(names):
        hint = hints[name]
        own = getattr(knobs, name)
        options = typing.get_args(hint) if typing.get_origin(hint) is typing.Literal else ()
        for option in (not own,) if hint is bool else options:
            if option != own:
                yield dataclasses.replace(knobs, **{name: option})


@pytest.mark.slow
@pytest.mark.parametrize("path", RECIPES)
def test_every_knob_is_read(trained, path, request):
    if path in AT_RELEASE and not request.config.getoption("--release"):
        pytest.skip("half a minute of models, one per choice of a knob: --release")
    zoo = trained(path)
    own = {field.name for field in dataclasses.fields(zoo.knobs)}
    own -= {field.name for field in dataclasses.fields(Settings)} | ELSEWHERE.get(path.partition("/")[0], set())
    knobs, reads = watched(zoo.knobs)
    torch.manual_seed(0)
    zoo.recipe.task(knobs)
    for other in choices(zoo.knobs, own):
        if own <= reads:
            break
        knobs, more = watched(other)
        try:
            zoo.recipe.build(knobs)
        except InputError:
            continue
        reads |= more
    assert own - reads == set()


@pytest.mark.parametrize("path", RECIPES)
def test_help_lists_at_most_thirty_options(command_line, path):
    brief, whole = (command_line("train", path, flag).out for flag in ("--help", "--help-all"))
    count, every = (
        sum(line.strip("│ ").startswith("-") and "---" not in line for line in page.splitlines())
        for page in (brief, whole)
    )
    assert 10 < count <= 30
    assert "seldom changed: --help-all" in brief
    assert "--beta2" not in brief
    assert "--beta2" in whole
    assert every > count


def test_cards_of_all_models_that_ship_are_understood():
    from limner.store.folder import find_recipe
    from limner.store.knobs import parse_knobs

    retired = {}
    for card in sorted(shipped_in("weights").glob("*/recipe.json")):
        content = json.loads(card.read_text())
        kind = find_recipe(content["recipe"]).knobs
        knobs = parse_knobs(kind, content["knobs"], card.parent)
        known = dataclasses.asdict(knobs)
        gone = content["knobs"].keys() - known.keys()
        assert gone <= kind.retired
        retired[card.parent.name] = len(gone)
    assert retired["raster-emoji-64"] == 8
    assert (retired["vq-vae-64"], retired["multiscale-64"], retired["mar-emoji-64"]) == (1, 1, 0)


def test_frequent_words_of_an_older_card_are_read(tmp_path):
    from limner.store.folder import find_recipe
    from limner.store.knobs import parse_knobs

    for recipe in ("understanding/language_basis", "understanding/ross_basis"):
        kind = find_recipe(recipe).knobs
        assert parse_knobs(kind, {"basis": "frequent", "entries": 100, "tie": "stopped"}, tmp_path).frequent == 100
        assert parse_knobs(kind, {"basis": "all", "entries": 256}, tmp_path).frequent is None
        with pytest.raises(CheckpointError, match="sets basis to 'clusters', but only 'all' is left"):
            parse_knobs(kind, {"basis": "clusters", "entries": 100}, tmp_path)


def test_a_retired_knob_of_another_recipe_is_refused(tmp_path):
    from limner.store.folder import find_recipe
    from limner.store.knobs import parse_knobs

    with pytest.raises(CheckpointError, match=r"sets kl, which limner.recipes.generators.raster does not know"):
        parse_knobs(find_recipe("generators/raster").knobs, {"kl": 0.0}, tmp_path)


def test_knobs_of_one_run_stand_on_no_card_and_may_change(tmp_path):
    from limner.recipes.tokenizers import vae
    from limner.store.knobs import json_knobs
    from limner.train.settings import marked

    knobs = vae.Knobs(out=tmp_path, threads=3, minutes=1.0)
    assert marked(vae.Knobs, "run") == {"out", "threads", "minutes", "device", "max_pixels"}
    assert not marked(vae.Knobs, "run") & json_knobs(knobs).keys()
    assert {"images", "batch"} <= marked(vae.Knobs, "free")  # though the recipe has defaults of its own
    assert marked(vae.Knobs, "shared") >= {"seed", "finetune"}
