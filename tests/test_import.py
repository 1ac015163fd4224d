"""What importing costs, which way imports go, and that the shape checks of the tests are switched on."""

from __future__ import annotations

import ast
import re
import subprocess
import sys

import pytest

from limner.catalogue.places import PACKAGE

HEAVY = {"torch", "numpy", "PIL", "tyro", "rich", "safetensors", "tokenizers", "transformers", "matplotlib"}


def modules_after(code: str) -> set[str]:
    """Top-level modules in a fresh interpreter after ``code``."""
    report = f"import sys\n{code}\nprint('\\n'.join(sys.modules), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", report], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return {name.partition(".")[0] for name in done.stderr.split()}


def test_importing_limner_brings_nothing_heavy():
    assert modules_after("import limner").isdisjoint(HEAVY)


def test_the_overview_brings_nothing_heavy():
    assert modules_after("from limner.cli import main; main(['--help'])").isdisjoint(HEAVY)


@pytest.mark.parametrize("arguments", [["systems", "--json"], ["systems"], ["train", "--help"]])
def test_the_catalogue_needs_no_torch(arguments: list[str]):
    assert {"torch", "numpy"}.isdisjoint(modules_after(f"from limner.cli import main; main({arguments})"))


@pytest.mark.parametrize(
    "verb", ["demo", "draw", "see", "chat", "tokens", "evaluate", "swap", "prove", "audit", "data check"]
)
def test_the_help_of_a_verb_needs_no_torch(verb: str):
    arguments = [*verb.split(), "--help"]
    code = f"from limner.cli import main\ntry: main({arguments})\nexcept SystemExit: pass"
    assert "torch" not in modules_after(code)


def test_load_is_found_when_it_is_asked_for():
    import limner
    from limner.store.folder import load

    assert limner.load is load
    with pytest.raises(AttributeError, match="no attribute 'lode'"):
        _ = limner.lode


def test_loading_a_generator_imports_what_it_needs_to_draw():
    """Not how it was trained and judged."""
    code = "import limner, sys; limner.load('mar-emoji-64'); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    ours = [name for name in done.stdout.split() if name.startswith("limner.")]
    assert not {"limner.lessons", "limner.evaluate", "limner.experiments", "limner.store.official"} & set(ours)
    files = [name for name in ours if (PACKAGE.parent / (name.replace(".", "/") + ".py")).is_file()]
    assert len(files) <= 50, f"{len(files)} modules: {' '.join(files)}"


@pytest.mark.parametrize("path", ["understanding/ross_basis", "understanding/ovis_gumbel", "unified/limner"])
def test_a_model_that_sees_is_built_without_what_trains_and_judges_it(path):
    code = f"import sys; from limner.store.folder import find_recipe; find_recipe({path!r}); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    found = set(done.stdout.split())
    assert "limner.models.vision_language" in found
    assert found.isdisjoint({"limner.lessons", "limner.evaluate", "limner.recipes.scores", "limner.experiments"})


def test_the_data_floor_needs_no_torch():
    assert "torch" not in modules_after("import limner.data.emoji, limner.data.scenes, limner.data.folder")


def test_imports_go_down_the_floors(repository, monkeypatch):
    from importlinter.cli import EXIT_STATUS_SUCCESS, lint_imports

    monkeypatch.chdir(repository)
    assert lint_imports(config_filename="pyproject.toml", no_cache=True) == EXIT_STATUS_SUCCESS


def test_the_types_and_shapes_of_limner_are_checked_here():
    import torch
    from jaxtyping import TypeCheckError

    from limner.types import derive_seed

    with pytest.raises(TypeCheckError):
        derive_seed(torch.zeros(2))  # type: ignore[arg-type]


def test_files_and_functions_hold_one_idea_each(repository):
    for file in sorted((repository / "src").rglob("*.py")):
        text = file.read_text(encoding="utf-8")
        assert text.count("\n") <= 400, f"{file} is past 400 lines"
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef):
                assert (node.end_lineno or 0) - node.lineno < 60, f"{file}: {node.name} is past 60 lines"


def test_every_name_is_defined(repository):
    """ruff's F821 cannot be switched on for all: shapes of jaxtyping are lower-case words in strings."""
    command = ["ruff", "check", "--isolated", "--no-cache", "--select", "F821", "--output-format", "concise"]
    folders = [str(repository / name) for name in ("src", "studies", "scripts", "benchmarks", "tests")]
    found = subprocess.run([*command, *folders], capture_output=True, text=True, timeout=120, check=False)
    assert found.returncode in (0, 1), found.stderr
    modules = "|".join(name for name in sys.stdlib_module_names if not name.startswith("_"))
    undefined = [line for line in found.stdout.splitlines() if re.search(rf"name `(?:_|[A-Z]\w|(?:{modules})`)", line)]
    assert not undefined, "\n".join(undefined)
