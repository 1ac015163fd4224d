"""Measures how the code is built, for docs/house.md: what a reader walks, what a system costs, what a load imports.

    python scripts/measure_house.py                          # this tree, as JSON on standard output
    python scripts/measure_house.py --src OTHER/src          # another tree, such as a checkout of an older commit
    python scripts/measure_house.py --write docs/house.md    # the table, the numbers of 4ce3a1f beside today's

Every number is counted by this script, by the same rule in both trees: classes by parsing, hops by looking at the call
stack when the equation is reached, options in the help page of every recipe.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

TOP = Path(__file__).resolve().parents[1]
BEFORE = TOP / "docs" / "house-before.json"
START, END = "<!-- measured -->", "<!-- /measured -->"

IMPORTS = """
import sys, limner
limner.load({name!r})
ours = [module.__file__ for name, module in sys.modules.items() if name.startswith("limner.")]
print(sum(not file.endswith("__init__.py") for file in ours))
"""
WALK = """
import sys, tempfile
from pathlib import Path

found = []


def profile(frame, event, argument):
    code = frame.f_code
    if event == "call" and code.co_name in {functions!r} and code.co_filename.endswith({file!r}) and not found:
        here, files = frame, []
        while here is not None:
            name = here.f_code.co_filename
            if "/limner/" in name and not files[-1:] == [name]:
                files.append(name)
            here = here.f_back
        found.append(len(set(files)))


from limner.cli import main
with tempfile.TemporaryDirectory() as room:
    arguments = [argument.replace("ROOM", room) for argument in {arguments!r}]
    sys.setprofile(profile)
    try:
        main(arguments)
    finally:
        sys.setprofile(None)
print(found[0])
"""
OPTIONS = """
import contextlib, io, json, re
from limner.catalogue.recipes import find_recipes
from limner.cli import main
counts = {}
for entry in find_recipes():
    page = io.StringIO()
    with contextlib.redirect_stdout(page), contextlib.redirect_stderr(page), contextlib.suppress(SystemExit):
        main(["train", entry.path, "--help"])
    found = set(re.findall(r"(?m)^[^a-zA-Z-]*(?:-[a-z], )?(--[a-z0-9-]+)", page.getvalue()))
    if len(found) > 5:
        counts[entry.path] = len(found - {"--help"})
print(json.dumps(counts))
"""
EQUATION = "processes/diffusion.py"
TRAIN = ["train", "mar", "--out", "ROOM/run", "--images", "8", "--batch", "8", "--scenes", "8", "--device", "cpu"]


def classes(package: Path) -> list[str]:
    """Names of all classes, one for each definition."""
    trees = [ast.parse(file.read_text(encoding="utf-8")) for file in sorted(package.rglob("*.py"))]
    return [node.name for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]


def run(src: Path, code: str) -> str:
    """Last line that a fresh interpreter prints with this tree in front."""
    environment = {**os.environ, "PYTHONPATH": str(src), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    return done.stdout.strip().splitlines()[-1]


def measure(src: Path) -> dict[str, object]:
    """All numbers of one tree."""
    package = src / "limner"
    names = classes(package)
    files = sorted(package.rglob("*.py"))
    systems = [file for file in (package / "recipes" / "generators").glob("*.py") if "RECIPE = " in file.read_text()]
    lines = {file.stem: len(file.read_text().splitlines()) for file in systems}
    options = json.loads(run(src, OPTIONS))
    draw = ["draw", "a red heart", "-o", "ROOM/a.png", "--steps", "2"]
    return {
        "lines of src/limner": sum(len(file.read_text().splitlines()) for file in files),
        "files of src/limner": len(files),
        "files from `limner draw` to the equation": int(
            run(src, WALK.format(functions=("sample", "steps_back"), file=EQUATION, arguments=draw))
        ),
        "files from `limner train mar` to the equation": int(
            run(src, WALK.format(functions=("denoising_losses",), file=EQUATION, arguments=TRAIN))
        ),
        "lines of a generator's recipe, median": statistics.median(lines.values()),
        "lines of NAR's recipe": lines["nar"],
        "classes of blocks": len({name for name in names if name.endswith("Block")} - {"ResidualBlock"}),
        "classes of attention": len([name for name in names if name.endswith("Attention")]),
        "class names that stand twice": len({name for name in names if names.count(name) > 1}),
        "modules with code that load(mar-emoji-64) imports": int(run(src, IMPORTS.format(name="mar-emoji-64"))),
        "modules with code that load(limner-64) imports": int(run(src, IMPORTS.format(name="limner-64"))),
        "options of a help page, median": statistics.median(options.values()),
        "options of a help page, most": max(options.values()),
    }


def table(before: dict[str, object], after: dict[str, object]) -> str:
    """Both as a Markdown table."""
    rows = [f"| {name} | {before.get(name, '-'):,} | {value:,} |" for name, value in after.items()]
    return "\n".join(["| | 4ce3a1f | now |", "|---|---|---|", *rows])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--src", type=Path, default=TOP / "src")
    parser.add_argument("--write", type=Path, help="page whose table is written anew, between its two marks")
    options = parser.parse_args()
    measured = measure(options.src.resolve())
    if options.write is None:
        print(json.dumps(measured, indent=1))
        return
    page = options.write.read_text(encoding="utf-8")
    head, _, rest = page.partition(START)
    _, _, tail = rest.partition(END)
    made = table(json.loads(BEFORE.read_text(encoding="utf-8")), measured)
    options.write.write_text(f"{head}{START}\n{made}\n{END}{tail}", encoding="utf-8")


if __name__ == "__main__":
    main()
