"""``limner demo``: what limner can do, on one page."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from tyro.conf import arg

from limner.cli.command import Flag, parse, print_json, standard_output_kept

EXAMPLES = """\
  limner demo
  limner demo --seed 3 -o page.png"""

PROMPTS = (
    "a red heart left of a blue star",
    "a green triangle above an orange square",
    "a large purple cross in the middle",
    "a small cyan circle in the top left",
    "a yellow ring",
    "grinning face",
    "red apple",
    "snowman",
    "tulip",
    "rocket",
)
COLUMNS = 5
TOKENIZERS = ("vae-64", "vq-vae-64")
PHOTO = Path(__file__).resolve().parents[1] / "data" / "assets" / "dahlia.webp"
EMOJI = "house"  # held out: no tokenizer has seen it
SEES = "limner-64"
KINDS = ("colour", "count", "shape", "relation", "position")  # one held-out scene each
READ = 32  # words of a patch


@dataclass(frozen=True)
class Demo:
    """Draw a page of prompts, tokenize and reconstruct a photograph and an emoji, and put all on one page.
    limner-64 answers questions about images, and a second page shows what it read in one, patch by patch."""

    out: Annotated[Path, arg(aliases=["-o"])] = Path("demo.png")
    """Where to write the page."""
    model: Annotated[str, arg(aliases=["-m"])] = "mar-emoji-64"
    """The model that draws."""
    seed: int = 0
    """The same seed draws the same page."""
    json: Flag = False
    """Print one object with files, scores and times and nothing else."""


def run(arguments: list[str]) -> None:
    """Makes the page and prints what is on it."""
    options = parse(Demo, "limner demo", EXAMPLES, arguments)
    with standard_output_kept(options.json):
        report = demo(options)
    if options.json:
        print_json(report)
        return
    print(f"drew {report['drawn']} prompts with {options.model} in {report['drawing_seconds']} s")
    for name, scores in report["rebuilt"].items():
        print(f"rebuilt {name}: " + ", ".join(f"{score:.1f} dB by {model}" for model, score in scores.items()))
    for one in report["answers"]:
        print(f"{one['question']} {SEES} answers: {one['answer']} (right: {one['right']})")
    print(f"{report['file']} and {report['words']} ({report['seconds']} s in all)")


def demo(options: Demo) -> dict[str, Any]:
    """Draws, tokenizes and writes the page; returns what ``--json`` prints."""
    import limner
    from limner import pictures

    started = time.monotonic()
    pictures.check_place(options.out)
    drawn = limner.load(options.model).draw(list(PROMPTS), n=1, seed=options.seed)
    drawing = time.monotonic() - started
    page: list[pictures.Picture] = list(drawn)
    captions = list(PROMPTS)
    rebuilt: dict[str, dict[str, float]] = {}
    for name, original in subjects(limner.load(TOKENIZERS[0]).size).items():
        rebuilt[name], row, under = reconstructed(name, original)
        page += row
        captions += under
    scenes, seen = questioned(options.out)
    page += scenes
    captions += [f"{one['question']} {one['answer']}" for one in seen["answers"]]
    title = f"limner demo: {options.model} draws; {' and '.join(TOKENIZERS)} tokenize and reconstruct"
    title += f"; {SEES} answers"
    pictures.save(pictures.grid(page, COLUMNS, captions, title=title), options.out)
    return {
        "model": options.model,
        "file": str(options.out),
        "drawn": len(drawn),
        "drawing_seconds": round(drawing, 1),
        "rebuilt": rebuilt,
        **seen,
        "seconds": round(time.monotonic() - started, 1),
    }


def subjects(size: int) -> dict[str, np.ndarray]:
    """A photograph and an emoji that no tokenizer was trained on."""
    from limner.data.emoji import Emoji
    from limner.data.images import fit, read_image

    emoji = Emoji("heldout", size=size)
    names = [emoji.name(i) for i in range(len(emoji))]
    return {"a photograph": fit(read_image(PHOTO), size), EMOJI: emoji[names.index(EMOJI)].image}


def reconstructed(name: str, original: np.ndarray) -> tuple[dict[str, float], list[Any], list[str]]:
    """PSNR by tokenizer, and a row of the page: the original, then each tokenizer's tokens and reconstruction."""
    import limner
    from limner import pictures
    from limner.cli.tokens import tokenize_sources

    scores: dict[str, float] = {}
    row: list[Any] = [original]
    captions = [name]
    for model in TOKENIZERS:
        part = tokenize_sources(limner.load(model), [original])[0]
        scores[model] = round(part.psnr, 2)
        row += [pictures.token_map(part.tokens), part.reconstruction]
        captions += [f"its {part.bits:,} bits in {model}", f"reconstructed, {part.psnr:.1f} dB"]
    return scores, row, captions


def questioned(out: Path) -> tuple[list[np.ndarray], dict[str, Any]]:
    """Held-out scenes, a question about each with the model's answer and the right one; and beside the page another
    one, of the words that the model read in the first of them."""
    import limner
    from limner import pictures
    from limner.data.scenes import Scenes
    from limner.unified.words_page import words_page

    model = limner.load(SEES)
    held_out = Scenes(0, split="heldout", size=model.size, objects=(2, 3))
    scenes = [held_out[index] for index in range(len(KINDS))]
    answers = []
    for kind, scene in zip(KINDS, scenes, strict=True):
        question = next(one for one in scene.questions() if one.kind == kind)
        answer = model.see(scene.image, question.text)
        answers.append({"question": question.text, "answer": answer, "right": question.answer})
    file, first = out.with_name(f"{out.stem}-words.png"), scenes[0].image
    pictures.save(words_page(first, model.words(first, READ), model.see(first), "Describe the picture."), file)
    return [scene.image for scene in scenes], {"answers": answers, "words": str(file)}
