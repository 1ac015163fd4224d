"""Score the models in weights/ and write each one's card: data, cost, scores with their protocol, samples; and the
list of them all, weights/README.md.

python scripts/write_cards.py                  # every model
python scripts/write_cards.py vae-64           # one, and the list
python scripts/write_cards.py --count 50       # a rehearsal; do not commit it
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import torch

import limner
from limner import pictures
from limner.data.scenes import Scenes
from limner.evaluate.tokenizer import held_out
from limner.lessons.captions import PREVIEW
from limner.models.limner import Limner
from limner.models.text_to_image import TextToImage
from limner.nn.pixels import to_arrays, to_tensor
from limner.recipe import EvaluationRequest
from limner.store.files import WEIGHTS as WEIGHTS_FILE
from limner.store.files import read_card
from limner.store.folder import recipe_of
from limner.store.knobs import CARD
from limner.tokenizers.tokenizer import Codec
from limner.unified.words_page import words_page

WEIGHTS = Path(__file__).resolve().parents[1] / "weights"
SAMPLES = "samples.webp"
STEPS = "steps.webp"
WORDS = "words.webp"
ALL = 32  # words of a patch that are read, so that means over the picture miss little


def samples(model: Any, folder: Path) -> str:
    """Write a page of what the model does; returns the line of the card that shows it, empty if there is nothing."""
    if isinstance(model, TextToImage):
        drawn = model.draw(list(PREVIEW), n=1, seed=0)
        pictures.save(pictures.grid(drawn, 8, PREVIEW, cell=96), folder / SAMPLES, quality=90)
        line = f"![one drawing of each prompt, seed 0, none chosen]({SAMPLES})"
        return "\n\n".join([line, read(model, folder) if isinstance(model, Limner) else came_about(model, folder)])
    if isinstance(model, Codec):
        shown = [picture for kind in held_out(model.size, 16).values() for picture in kind]
        with torch.inference_mode():
            rebuilt = to_arrays(model.decode(model.encode(to_tensor(shown))))
        page = [p for at in range(0, 32, 16) for p in (*shown[at : at + 16], *rebuilt[at : at + 16])]
        pictures.save(pictures.grid(page, 16, cell=64), folder / SAMPLES, quality=90)
        return f"![held-out emoji and scenes, each row above what became of it]({SAMPLES})"
    return ""


def came_about(model: TextToImage, folder: Path) -> str:
    """Write a strip of how four drawings came about; returns the line of the card that shows it."""
    seen: list[list[Any]] = []
    model.draw(list(PREVIEW[2::4]), seed=0, watch=lambda step, total, drawn: seen.append(drawn))
    shown = [(place + 1, seen[place]) for place in pictures.few(len(seen), 12)]
    headings = [f"{step} of {len(seen)}" if step == 1 else str(step) for step, _ in shown]
    rows = [list(row) for row in zip(*(drawn for _, drawn in shown), strict=True)]
    pictures.save(pictures.strip(rows, headings), folder / STEPS, quality=90)
    return f"![four of them, step by step]({STEPS})"


def read(model: Limner, folder: Path) -> str:
    """Write a page of what each patch of a held-out scene says; returns the line of the card that shows it."""
    scene = Scenes(0, split="heldout", size=model.size, objects=(3, 3))[0]
    words = model.words(scene.image, ALL)
    pictures.save(words_page(scene.image, words, model.see(scene.image), ""), folder / WORDS, quality=90)
    return f"![the words of each patch of the first held-out scene of three things]({WORDS})"


def write_card(folder: Path, count: int | None) -> None:
    """Score one model and write scores.json, samples.webp and README.md beside its weights."""
    facts = read_card(folder)
    recipe, model = recipe_of(facts, folder), limner.load(folder)
    picture = samples(model, folder)
    lines = [f"# {folder.name}", "", f"Recipe `{facts['recipe']}` ({recipe.paper}), {facts['images']:,} images,"]
    lines += [f"{sum(p.numel() for p in model.parameters()):,} parameters in bf16, seed {facts['knobs']['seed']},"]
    lines += [f"commit `{facts['commit']}`. Every knob is in [{CARD}]({CARD})."]
    lines += [facts.get("note", ""), ""]
    if recipe.score is not None:
        began = time.monotonic()
        report = recipe.score(model, EvaluationRequest(folder.name, count))
        (folder / "scores.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
        lines += [f"Scores of `limner evaluate {folder.name} --json` ({time.monotonic() - began:.0f} s), protocol"]
        lines += [
            f"`{report['protocol']['hash']}` in [scores.json](scores.json):",
            "",
            "| score | value |",
            "|---|---|",
        ]
        lines += [f"| {name} | {value:.4g} |" for name, value in report["scores"].items()] + [""]
    lines += [picture, "", "Data: emoji rendered from Noto Color Emoji (SIL OFL 1.1), procedural scenes, and for the"]
    lines += ["tokenizers crops of the CC0 photographs in scikit-image. See NOTICE at the top of the repository.", ""]
    (folder / "README.md").write_text("\n".join(lines).replace("\n\n\n", "\n\n"), encoding="utf-8")


TELLING = ("psnr/emoji", "psnr/scenes", "prompt/colour", "prompt/shape", "prompt/pair", "qa/overall", "read/scene")


def write_list(folder: Path) -> None:
    """Write the table of all models: what, how large, and the scores that tell most."""
    names = sorted(path.parent.name for path in folder.glob(f"*/{CARD}"))
    lines = [
        "# Weights that ship with limner",
        "",
        "Each folder holds `weights.safetensors` (bf16), `recipe.json`, which",
    ]
    lines += ["says what it was trained by, and a card with samples and scores. `limner.load(name)` reads one.", ""]
    lines += ["| model | recipe | MB | images it learned from | some of its scores |", "|---|---|---|---|---|"]
    for name in names:
        facts = read_card(folder / name)
        size = (folder / name / WEIGHTS_FILE).stat().st_size / 1e6
        file = folder / name / "scores.json"
        scores = json.loads(file.read_text(encoding="utf-8"))["scores"] if file.is_file() else {}
        told = ", ".join(f"{score} {scores[score]:.3g}" for score in TELLING if score in scores)
        lines += [f"| [{name}]({name}) | `{facts['recipe']}` | {size:.1f} | {facts['images']:,} | {told} |"]
    lines += ["", "Written by `scripts/write_cards.py`.", ""]
    (folder / "README.md").write_text("\n".join(lines), encoding="utf-8")


def main() -> None:
    """Parse the command line and write the cards."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="models, all if none is named")
    parser.add_argument("--count", type=int, default=None, help="pictures or prompts per score")
    options = parser.parse_args()
    for name in options.names or sorted(path.parent.name for path in WEIGHTS.glob(f"*/{CARD}")):
        write_card(WEIGHTS / name, options.count)
        print(name)
    write_list(WEIGHTS)


if __name__ == "__main__":
    main()
