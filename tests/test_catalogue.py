"""The table of systems, and what is read of recipes without importing them."""

from __future__ import annotations

import importlib
import json
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from limner.catalogue.listing import find_system, list_systems, proof_of, read_systems
from limner.catalogue.places import PACKAGE, commit, shipped
from limner.catalogue.recipes import RecipeEntry, find_recipes, resolve_recipe
from limner.errors import InputError

MAR = '''"""MAR: draws masked
tokens.

More about it.
"""
FIRST = Claim(text="diffusion "
                   "beats MSE", source="Table 1", measure=one)
MORE: tuple = (FIRST, Claim(measure=two, text="masked beats raster", source=""))
RECIPE = Recipe(system="mar", state="works", knobs=Knobs, claims=MORE)
'''
STAR = '''"""A benchmark."""
RECIPE = Measure(system="mmstar", state="works", measure=audit, claims=(FIRST,))
'''
RASTER = '''"""A baseline."""
RECIPE: Recipe = Recipe(state="partly", knobs=Knobs)
'''


def written(root: Path) -> tuple[RecipeEntry, ...]:
    for path, text in {
        "generators/mar": MAR,
        "generators/raster": RASTER,
        "generators/__init__": "",
        "tokenizers/heads": "x = 1",
    }.items():
        (root / path).parent.mkdir(exist_ok=True)
        (root / f"{path}.py").write_text(text)
    return find_recipes(root)


def entry(path: str) -> RecipeEntry:
    return RecipeEntry(path, None, "works", "", ())


def test_what_works_has_its_claims_measured():
    rows = [row for row in list_systems() if row.state == "works"]
    assert len(rows) > 20
    assert [(row.system.id, text) for row in rows for text, verdict in row.claims if verdict is None] == []


def test_the_table_has_every_system_once():
    systems = read_systems()
    assert len(systems) == 216
    assert len({system.id for system in systems}) == 216
    assert all(system.name and system.title and system.family for system in systems)
    assert Counter(system.tier for system in systems) == {1: 69, 2: 99, 3: 44, "survey": 4}
    assert systems[3].id == "mar"
    assert systems[3].family == "generator"


def test_a_recipe_is_read_without_being_imported(tmp_path):
    mar, raster = written(tmp_path)
    assert mar == RecipeEntry(
        path="generators/mar",
        system="mar",
        state="works",
        purpose="MAR: draws masked tokens.",
        claims=("diffusion beats MSE", "masked beats raster"),
    )
    assert mar.module == "limner.recipes.generators.mar"
    assert raster == RecipeEntry("generators/raster", None, "partly", "A baseline.", ())


def test_a_measure_is_told_from_what_is_trained(tmp_path):
    (tmp_path / "audits").mkdir()
    (tmp_path / "audits" / "star.py").write_text(STAR)
    (star,) = find_recipes(tmp_path)
    assert (star.system, star.kind, star.trains) == ("mmstar", "measure", False)
    assert all(entry.kind == "recipe" and entry.trains for entry in written(tmp_path) if entry != star)


def test_a_technique_is_listed_as_what_it_is(tmp_path):
    (tmp_path / "techniques").mkdir()
    (tmp_path / "techniques" / "fast.py").write_text('"""Fast."""\nRECIPE = Technique(system="gsd", state="works")\n')
    (fast,) = find_recipes(tmp_path)
    assert (fast.path, fast.kind, fast.trains) == ("techniques/fast", "technique", False)
    (row,) = (row for row in list_systems(recipes=(fast,)) if row.system.id == "gsd")
    assert (row.to_json()["kind"], row.state) == ("technique", "works")


def test_a_recipe_that_is_no_python_is_named(tmp_path):
    (tmp_path / "generators").mkdir()
    (tmp_path / "generators" / "broken.py").write_text("def (:\n")
    with pytest.raises(InputError, match=r"broken\.py.* line 1 "):
        find_recipes(tmp_path)


def test_the_listing_joins_systems_recipes_and_proofs(tmp_path):
    recipes = written(tmp_path)
    proof = tmp_path / "proofs" / "generator" / "mar.json"
    proof.parent.mkdir(parents=True)
    proof.write_text(
        json.dumps({"claims": [{"text": "masked beats raster", "verdict": "not held"}, {"text": "old", "held": True}]})
    )
    rows = list_systems(recipes=recipes, proofs=tmp_path / "proofs")
    assert len(rows) == 216 + 1  # the baseline
    assert (rows[-1].system.id, rows[-1].system.family, rows[-1].system.tier) == ("raster", "generator", "recipe")
    by_id = {row.system.id: row.to_json() for row in rows}
    assert by_id["mar"] == {
        "id": "mar",
        "family": "generator",
        "tier": 1,
        "state": "works",
        "kind": "recipe",
        "recipe": "generators/mar",
        "claims": [
            {"text": "diffusion beats MSE", "verdict": None},
            {"text": "masked beats raster", "verdict": "not held"},
        ],
    }
    assert by_id["var"]["state"] == "not yet"
    assert by_id["var"]["recipe"] is None
    assert [row.system.id for row in list_systems(state="works", recipes=recipes)] == ["mar"]
    assert {row.system.family for row in list_systems(family="tokenizer", recipes=recipes)} == {"tokenizer"}


def test_a_proof_without_competence_decides_nothing(tmp_path):
    recipes = written(tmp_path)
    proof = tmp_path / "proofs" / "generator" / "mar.json"
    proof.parent.mkdir(parents=True)
    old = [{"text": "diffusion beats MSE", "held": True}, {"text": "masked beats raster", "held": False}]
    proof.write_text(json.dumps({"claims": old}))
    (mar,) = list_systems(state="works", recipes=recipes, proofs=tmp_path / "proofs")
    assert [verdict for _, verdict in mar.claims] == ["undecided", "undecided"]


BROKEN = ["{", "{}", '{"claims": [{"text": "a"}]}', '{"claims": [{"text": "a", "verdict": "maybe"}]}', '{"claims": 3}']


@pytest.mark.parametrize("text", BROKEN)
def test_a_damaged_proof_is_named(tmp_path, text):
    proof = tmp_path / "proofs" / "generator" / "mar.json"
    proof.parent.mkdir(parents=True)
    proof.write_text(text)
    with pytest.raises(InputError, match=r"mar\.json.* damaged"):
        list_systems(recipes=written(tmp_path), proofs=tmp_path / "proofs")


def test_unknown_families_and_systems_are_refused():
    with pytest.raises(InputError, match="'cars'.*generator"):
        list_systems(family="cars")
    with pytest.raises(InputError, match="'no-such'"):
        find_system("no-such", read_systems())


@pytest.mark.parametrize("name", ["mar", "generators/mar", "generators.mar", "src/limner/recipes/generators/mar.py"])
def test_a_recipe_is_found_by_every_spelling_of_its_name(name):
    recipes = (entry("generators/mar"), entry("generators/m_var"), entry("tokenizers/vae"))
    assert resolve_recipe(name, recipes).path == "generators/mar"
    assert resolve_recipe("m-var", recipes).path == "generators/m_var"


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("marr", "did you mean generators/mar?"),
        ("tokenisers/vae", "did you mean tokenizers/vae"),
        ("zebra", "choose one of generators/mar, tokenizers/vae, encoders/vae"),
        ("vae", "say tokenizers/vae or encoders/vae"),
    ],
)
def test_an_unknown_recipe_is_answered_with_the_closest(name, sentence):
    recipes = (entry("generators/mar"), entry("tokenizers/vae"), entry("encoders/vae"))
    with pytest.raises(InputError, match=sentence.replace("?", r"\?")):
        resolve_recipe(name, recipes)


def test_no_system_has_two_recipes():
    systems = [recipe.system for recipe in find_recipes() if recipe.system is not None]
    assert len(systems) == len(set(systems))
    assert set(systems) <= {system.id for system in read_systems()}


@pytest.mark.parametrize("read", find_recipes(), ids=lambda read: read.path)
def test_what_is_read_of_a_recipe_is_what_it_is(read):
    recipe = importlib.import_module(read.module).RECIPE
    assert (recipe.system, recipe.state) == (read.system, read.state)
    assert tuple(claim.text for claim in recipe.claims) == read.claims
    assert read.purpose


def test_proofs_on_file_are_about_the_claims_of_their_recipes():
    claims = {proof_of(recipe): recipe.claims for recipe in find_recipes()}
    for path in shipped("proofs").glob("*/*.json"):
        proven = tuple(claim["text"] for claim in json.loads(path.read_text(encoding="utf-8"))["claims"])
        assert proven == claims[path]


def test_the_commit_of_the_checkout_is_known():
    head = subprocess.run(
        ["git", "-C", PACKAGE.parents[1], "rev-parse", "HEAD"], capture_output=True, text=True, check=False
    )
    known = commit()
    if head.returncode:  # not a checkout
        assert known is None
    else:
        assert known is not None
        assert known.removesuffix("-dirty") == head.stdout.strip()
