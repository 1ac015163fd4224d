"""The verbs that use a model, on the tiny ones under the names that ship."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytestmark = pytest.mark.timeout(300)  # the first test of a session trains what it needs

MAR, RASTER = "generators/mar", "generators/raster"
VAE, VQ = "tokenizers/vae", "tokenizers/vq_vae"
LIMNER = "unified/limner"
JUDGES = ("encoders/features", "encoders/recogniser")


def opened(file: Path) -> Image.Image:
    with Image.open(file) as image:
        image.load()
    return image


def refused(outcome, sentence: str) -> None:
    """Exit code 2 and one sentence on standard error."""
    assert outcome.code == 2, outcome.err
    assert outcome.out == ""
    assert sentence in outcome.err
    assert outcome.err.startswith("limner: ")
    assert outcome.err.count("\n") == 1


def only_json(outcome):
    assert outcome.code == 0, outcome.err
    assert outcome.out.count("\n") == 1
    return json.loads(outcome.out)


def test_draw_writes_a_page(command_line, shipped, tmp_path):
    shipped(MAR)
    page = tmp_path / "page.png"
    said = only_json(command_line("draw", "a red heart", "airplane", "-n", 3, "--seed", 4, "-o", page, "--json"))
    assert (said["model"], said["prompts"], said["seed"]) == ("mar-emoji-64", ["a red heart", "airplane"], 4)
    assert said["files"] == [str(page)]
    assert opened(page).width == 3 * 128 + 4 * 12
    spoken = command_line("draw", "airplane", "-o", tmp_path / "one.png")
    assert spoken.out.startswith("drew 1 in ")
    assert opened(tmp_path / "one.png").size == (32, 32)


def test_the_same_seed_draws_the_same(command_line, shipped, tmp_path):
    shipped(MAR)
    for name, seed in (("first", 7), ("second", 7), ("third", 8)):
        assert command_line("draw", "tulip", "-n", 2, "--seed", seed, "-o", tmp_path / name).code == 0
    files = {name: [(tmp_path / name / f"000{i}.png").read_bytes() for i in (0, 1)] for name in ("first", "second")}
    assert files["first"] == files["second"]
    assert files["first"] != [(tmp_path / "third" / f"000{i}.png").read_bytes() for i in (0, 1)]
    assert files["first"][0] != files["first"][1]


def test_a_solver_draws_otherwise(command_line, shipped, tmp_path):
    shipped(MAR)
    drawn = {}
    for solver in ("ancestral", "ddim", "heun", "dpm++"):
        page = tmp_path / f"{solver}.png"
        outcome = command_line("draw", "a cat", "--solver", solver, "--head-steps", 3, "-o", page)
        assert outcome.code == 0, outcome.err
        drawn[page.read_bytes()] = solver
    assert len(drawn) == 4


@pytest.mark.parametrize(("path", "model", "steps"), [(MAR, "mar-emoji-64", 4), (RASTER, "raster-emoji-64", 16)])
def test_steps_are_shown(command_line, shipped, tmp_path, path, model, steps):
    shipped(path)
    out = tmp_path / "tulip.png"
    said = only_json(command_line("draw", "tulip", "-m", model, "-o", out, "--show-steps", "--json"))
    assert said["files"] == [str(out), str(tmp_path / "tulip-steps.png"), str(tmp_path / "tulip-steps.gif")]
    assert opened(tmp_path / "tulip-steps.png").width == 12 + min(steps, 12) * (96 + 12)
    with Image.open(tmp_path / "tulip-steps.gif") as film:
        assert film.n_frames == steps


def test_steps_are_shown_of_four_prompts_where_none_is_given(command_line, shipped, tmp_path):
    shipped(MAR)
    said = only_json(command_line("draw", "-o", tmp_path / "page.png", "--show-steps", "--json"))
    assert len(said["prompts"]) == 4
    assert [Path(file).name for file in said["files"]] == ["page.png", "page-steps.png", "page-steps.gif"]


def test_words_that_cannot_be_read_are_named(command_line, shipped, tmp_path):
    shipped(MAR)
    outcome = command_line("draw", "a ζebra", "-o", tmp_path / "zebra.png", "--json")
    assert outcome.err.startswith("limner: mar-emoji-64 never saw ζebra, so what it draws for it is chance; it knows ")
    assert outcome.err.count("\n") == 1
    assert only_json(outcome)["files"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["a cat", "-m", "mar-emoji-46"], "there is no model 'mar-emoji-46': choose mar-emoji-64"),
        (["a cat", "-m", "vae-64"], "vae-64 tokenizes images but draws none"),
        (["a cat", "-m", "."], ". holds no recipe.json"),
        ([""], "there is nothing to draw"),
        (["a cat", " "], "there is nothing to draw"),
        (["a cat", "-n", "0"], "-n is 0"),
        (["a cat", "-n", "-3"], "-n is -3"),
        (["a cat", "--steps", "0"], "--steps is 0"),
        (["a cat", "--steps", "999"], "4 tokens cannot be drawn in 999 steps: choose 1 to 4"),
        (["a cat", "--head-steps", "0"], "--head-steps is 0"),
        (["a cat", "--head-steps", "2000"], "2000 head steps cannot be taken: choose from 1 to 1000"),
        (["a cat", "--guidance", "-1"], "--guidance is -1.0"),
        (["a cat", "--guidance", "nan"], "--guidance is nan"),
        (["a cat", "--temperature", "-0.5"], "--temperature is -0.5"),
        (["a cat", "-o", "page.docx"], "'page.docx' does not end like a picture"),
        (["a cat", "-o", "file/page.png"], "'file/page.png' cannot be written"),
        (["a cat", "-o", "file/folder/"], "cannot be written"),
        (["heart " * 60], "reads 48: shorten it"),
    ],
)
def test_what_draw_refuses(command_line, shipped, monkeypatch, tmp_path, arguments, sentence):
    shipped(MAR)
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("")
    refused(command_line("draw", *arguments), sentence)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_raster_model_has_its_own_steps(command_line, shipped, tmp_path):
    shipped(RASTER)
    arguments = ["draw", "a cat", "-m", "raster-emoji-64", "-o", tmp_path / "cat.png"]
    refused(command_line(*arguments, "--steps", 3), "draws 16 tokens in 16 steps, not 3")
    for option in (("--solver", "dpm++"), ("--solver", "ancestral"), ("--head-steps", 5)):
        refused(command_line(*arguments, *option), "draws a token at once")


def test_a_folder_that_may_not_be_written(command_line, shipped, tmp_path):
    if os.geteuid() == 0:
        pytest.skip("root may write anywhere")
    shipped(MAR)
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o500)
    refused(command_line("draw", "a cat", "-o", locked / "cat.png"), "cannot be written")


@pytest.mark.parametrize(("model", "kind", "bits"), [("vae-64", "latents", 16 * 16 * 4), ("vq-vae-64", "ids", 16 * 5)])
def test_tokens_takes_a_picture_apart(command_line, shipped, album, tmp_path, model, kind, bits):
    shipped(VAE, VQ)
    page = tmp_path / "page.png"
    said = only_json(command_line("tokens", album / "1.png", "-m", model, "-o", page, "--json"))
    assert (said["pictures"][0]["bits"], np.shape(said["pictures"][0][kind])[:2]) == (bits, (4, 4))
    assert opened(page).width == 3 * 192 + 4 * 12
    assert f"{bits:,} bits" in command_line("tokens", album / "1.png", "-m", model, "-o", page).out


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["0.txt"], "0.txt"),
        (["nowhere.png"], "nowhere.png"),
        (["0.png", "-m", "mar-emoji-64"], "mar-emoji-64 is no tokenizer"),
        (["0.png", "-m", "features"], "features is no tokenizer"),
        (["0.png", "-o", "0.txt/page.png"], "cannot be written"),
        (["0.png", "-o", "page"], "does not end like a picture"),
    ],
)
def test_what_tokens_refuses(command_line, shipped, album, monkeypatch, arguments, sentence):
    shipped(MAR, *JUDGES)
    monkeypatch.chdir(album)
    refused(command_line("tokens", *arguments), sentence)


def test_demo_writes_a_page(command_line, shipped, tmp_path):
    shipped(MAR, VQ, LIMNER)
    page = tmp_path / "demo.png"
    said = only_json(command_line("demo", "-o", page, "--json"))
    assert said["file"] == str(page)
    assert (said["model"], said["drawn"]) == ("mar-emoji-64", 10)
    assert set(said["rebuilt"]) == {"a photograph", "house"}
    assert all(set(scores) == {"vae-64", "vq-vae-64"} for scores in said["rebuilt"].values())
    assert opened(page).width > 5 * 128
    before = page.read_bytes()
    spoken = command_line("demo", "-o", page)
    assert page.read_bytes() == before
    assert "drew 10 prompts with mar-emoji-64" in spoken.out
    assert "dB by vq-vae-64" in spoken.out
    refused(command_line("demo", "-o", tmp_path / "demo"), "does not end like a picture")


def test_demo_asks_a_model_that_sees(command_line, shipped, tmp_path):
    import limner
    from limner.data.scenes import Scenes

    shipped(MAR, VQ, LIMNER)
    page = tmp_path / "demo.png"
    said = only_json(command_line("demo", "-o", page, "--json"))
    model = limner.load("limner-64")
    scenes = Scenes(0, split="heldout", size=model.size, objects=(2, 3))
    assert len(said["answers"]) == 5
    for one, scene in zip(said["answers"], (scenes[index] for index in range(5)), strict=True):
        assert one["answer"] == model.see(scene.image, one["question"])
        assert (one["question"], one["right"]) in {(question.text, question.answer) for question in scene.questions()}
    assert said["words"] == str(tmp_path / "demo-words.png")
    assert opened(tmp_path / "demo-words.png").width > opened(page).width
    spoken = command_line("demo", "-o", page)
    assert f"{page} and {said['words']}" in spoken.out
    assert f"{said['answers'][0]['question']} limner-64 answers: " in spoken.out


def test_chat_sees_what_it_drew(shipped, tmp_path):
    import limner
    from limner.cli.chat import Chat

    shipped(LIMNER)
    model = limner.load("limner-64")
    chat = Chat(model, "limner-64", tmp_path, 3)
    drawn = chat.reply("/draw a red heart")
    assert chat.reply("What colour is the heart?") == model.see(drawn, "What colour is the heart?")
    assert chat.reply("/words").endswith(str(tmp_path / "words-1.png"))


@pytest.mark.parametrize(
    ("path", "model", "names"),
    [
        (VAE, "vae-64", {"psnr/emoji", "psnr/scenes", "ssim/emoji", "frechet/scenes"}),
        (VQ, "vq-vae-64", {"psnr/emoji", "codebook/usage", "codebook/perplexity"}),
        (MAR, "mar-emoji-64", {"prompt/colour", "prompt/pair", "prompt/heldout", "prompt/emoji_top1", "frechet/emoji"}),
        ("encoders/superclass", "superclass-64", {"probe/colour", "zero_shot/pair", "retrieval/emoji/text_to_image@5"}),
        (JUDGES[1], "recogniser", {"read/shape", "read/scene", "read/compositions/colour", "read/name"}),
    ],
)
def test_evaluate_reports_scores_with_their_protocol(command_line, shipped, weights, path, model, names):
    from limner.train.checkpoint import file_hash

    shipped(path, *JUDGES)
    said = only_json(command_line("evaluate", model, "--count", 4, "--json"))
    assert set(said) == {"model", "protocol", "weights", "scores", "hash"}
    assert said["model"] == model
    assert said["weights"] == file_hash(weights / model / "weights.safetensors")
    assert names <= said["scores"].keys()
    assert said["protocol"]["hash"]
    assert all(0 <= value <= 1 for name, value in said["scores"].items() if name.startswith(("prompt", "read")))


def test_evaluate_speaks(command_line, shipped):
    shipped(VAE, *JUDGES)
    spoken = command_line("evaluate", "vae-64", "--count", 4)
    assert "psnr/emoji" in spoken.out
    assert "protocol " in spoken.out.splitlines()[-1]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["vae-46"], "there is no model 'vae-46'"),
        (["features"], "features is a measure itself"),
        (["vae-64", "--count", "0"], "--count is 0"),
        (["vae-64", "--count", "1"], "two or more pictures"),
    ],
)
def test_what_evaluate_refuses(command_line, shipped, arguments, sentence):
    shipped(VAE, *JUDGES)
    outcome = command_line("evaluate", *arguments)
    assert (outcome.code, outcome.out) == (2, "")
    assert sentence in outcome.err


SMALL = ["--size", 16, "--widths", 8, 8, "--encoder-depths", 1, 1, "--decoder-depths", 1, 1, "--channels", 4]
SHORT = ["--batch", 8, "--warmup", 8, "--ema", 8, "--threads", 1]
NARROW = ["--width", 64, "--encoder-depth", 1, "--decoder-depth", 1, "--head-width", 16, "--head-depth", 1]


def test_own_pictures_become_a_tokenizer_and_a_generator(command_line, album, monkeypatch, tmp_path):
    import limner

    monkeypatch.chdir(tmp_path)
    done = command_line("train", "vae", "--data", album, "--out", "runs/own", "--images", 16, *SMALL, *SHORT)
    assert done.code == 0, done.err
    assert done.out == f"trained on 16 images: {Path('runs/own/model')}\n"
    arguments = ["train", "mar", "--data", album, "--tokenizer", "runs/own", "--out", "runs/mine", *NARROW, *SHORT]
    done = command_line(*arguments, "--images", 16)
    assert done.code == 0, done.err
    model = limner.load("runs/mine")
    assert model.tokenizer.size == 16
    assert model.subwords.unknown("a cat in the rain") == []
    assert command_line("draw", "a cat in the rain", "-m", "runs/mine", "-o", "cat.png").code == 0
    assert opened(Path("cat.png")).size == (16, 16)
    said = command_line(*arguments, "--images", 24)
    assert "trained on 24 images" in said.out
    assert len(list(Path("runs/mine/cache").iterdir())) == 1


def test_another_seed_begins_with_other_weights(command_line, album, tmp_path):
    from safetensors.torch import load_file

    found = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        command_line(
            "train", "ae", "--data", album, "--out", tmp_path / name, "--images", 8, "--seed", seed, *SMALL, *SHORT
        )
        found.append(load_file(tmp_path / name / "model" / "weights.safetensors"))
    key = "decoder.0.weight"
    assert (found[0][key] == found[1][key]).all()
    assert not (found[0][key] == found[2][key]).all()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["vea"], "there is no recipe 'vea'"),
        (["vae", "--data", "nowhere"], "'nowhere' is not a folder"),
        (["vae", "--out", "0.txt/run"], "--out 0.txt/run cannot be written"),
        (["vae", "--images", "0"], "--images is 0"),
        (["vae", "--size", "12"], "size 12 does not divide"),
        (["mar", "--tokenizer", "nothing"], "there is no model 'nothing'"),
        (["mar", "--tokenizer", "features", "--data", "."], "features is no tokenizer"),
        (["raster", "--tokenizer", "vae-64", "--data", "."], "vae-64 has no codebook"),
        (["mar", "--tokenizer", "vq-vae-64", "--data", "."], "vq-vae-64 has a codebook"),
        (["mar", "--patch", "3", "--data", "."], "--patch 3"),
        (["mar", "--width", "100", "--data", "."], "--width is 100"),
        (["mar", "--text-length", "3", "--data", "."], "train with --text-length "),
    ],
)
def test_what_train_refuses(command_line, shipped, album, monkeypatch, arguments, sentence):
    shipped(VAE, VQ, JUDGES[0])
    monkeypatch.chdir(album)
    refused(command_line("train", *arguments, *([] if "--out" in arguments else ["--out", "run"])), sentence)


def start(arguments: list[object], folder: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "limner", *map(str, arguments)]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_ctrl_c_saves_and_the_same_command_goes_on(album, tmp_path, weights):
    import limner

    run = tmp_path / "run"
    arguments: list[object] = ["train", "vae", "--data", album, "--out", run, *SMALL, *SHORT, "--images", 10**6]
    arguments += ["--sample-every", 16, "--checkpoint-every", 10**6]
    process = start(arguments, tmp_path)
    deadline = time.monotonic() + 100
    while not list(run.glob("samples/*.png")) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert out.startswith("stopped after ")
    assert "the same command" in out
    assert not (run / "model").exists()
    (checkpoint,) = run.glob("images-*")
    seen = int(checkpoint.name.removeprefix("images-"))
    assert f"stopped after {seen:,} of 1,000,000 images" in out
    process = start([*arguments, "--images", seen + 8], tmp_path)
    out, err = process.communicate(timeout=100)
    assert process.returncode == 0, err
    assert f"resuming {run} at {seen} images" in " ".join(err.split())
    assert out == f"trained on {seen + 8:,} images: {run / 'model'}\n"
    assert limner.load(run).size == 16


def test_prove_rehearses(command_line, shipped, monkeypatch, tmp_path):
    from limner.experiments import world

    shipped(JUDGES[0])
    monkeypatch.setitem(world.FAMILIES, "tokenizers", {**world.FAMILIES["tokenizers"], "widths": (8, 8)})
    arguments = ["prove", "ae", "--scale", 0.002, "--seeds", 1, "-o", tmp_path / "proofs", "--runs", tmp_path / "runs"]
    said = only_json(command_line(*arguments, "--json"))
    assert (said["system"], said["recipe"], said["seeds"], said["scale"]) == ("ae", "tokenizers/ae", [0], 0.002)
    for claim in said["claims"]:
        assert {"text", "source", "verdict", "arms", "control", "bound", "refuted_by", "competence"} <= set(claim)
    assert [claim["verdict"] for claim in said["claims"]] == ["undecided"] * 2
    assert said["claims"][1]["control"] == "ae"
    assert said["claims"][1]["competence"]["vae"]["psnr"]["bar"] == 20
    written = next((tmp_path / "proofs").glob("*/ae.json"))
    assert json.loads(written.read_text()) == said
    spoken = command_line(*arguments)
    assert spoken.out.count("undecided: ") == 2
    assert spoken.out.count("  vae: psnr ") == 2
    assert spoken.out.endswith(f"wrote {written}\n")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["raster"], "generators/raster claims nothing"),
        (["ae", "--seeds", "0"], "--seeds is 0"),
        (["ae", "--scale", "0"], "--scale 0.0"),
        (["ae", "-o", "file"], "'file/tokenizer' cannot be written"),
    ],
)
def test_what_prove_refuses(command_line, shipped, monkeypatch, tmp_path, arguments, sentence):
    shipped(JUDGES[0])
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("")
    refused(command_line("prove", *arguments), sentence)


def test_a_sample_grid_pairs_pictures_with_reconstructions(command_line, album, tmp_path):
    """Ten pictures are held out of 200: two rows of originals, each above its row of reconstructions."""
    (tmp_path / "many").mkdir()
    for number in range(200):
        shutil.copyfile(album / f"{number % 10}.png", tmp_path / "many" / f"{number}.png")
    done = command_line(
        "train", "ae", "--data", tmp_path / "many", "--out", tmp_path / "run", "--images", 8, *SMALL, *SHORT
    )
    assert done.code == 0, done.err
    page = np.asarray(opened(tmp_path / "run" / "samples" / "images-000000000008.png"), np.float32)
    assert page.shape == (12 + 4 * (64 + 12), 12 + 8 * (64 + 12), 3)
    cells = [
        [page[16 + 76 * row : 72 + 76 * row, 16 + 76 * column : 72 + 76 * column] for column in range(8)]
        for row in range(4)
    ]
    whites = [[float(cell.min()) == 255 for cell in row] for row in cells]
    assert whites == [[False] * 8, [False] * 8, [False] * 2 + [True] * 6, [False] * 8]
