"""The user's own data from the first check to the last score, as a folder and as the shards that `pack` writes."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from limner.data.inspect import check, pack

COLOURS = ((255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (0, 255, 255), (255, 0, 255), (90, 90, 90), (0, 0, 0))


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """Captioned pictures in a folder, and in shards."""
    folder = tmp_path_factory.mktemp("own") / "pictures"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number, colour in enumerate(COLOURS):
        pixels = np.full((40, 50, 3), colour, np.uint8)
        pixels[10:30, 15:35] = rng.integers(0, 255, 3)
        Image.fromarray(pixels).save(folder / f"v1.{number}.png")
        (folder / f"v1.{number}.txt").write_text(f"picture {number} of a thing", encoding="utf-8")
    shards = folder.parent / "shards"
    pack(folder, shards, 3)
    return folder, shards


def scores(command_line, *arguments):
    done = command_line("evaluate", *arguments, "--json")
    assert done.code == 0, done.err
    report = json.loads(done.out)
    assert all(value is not None for value in report["scores"].values())
    return report


def test_check_says_the_same_of_both(places):
    folder, shards = map(check, places)
    assert (folder.pictures, folder.captioned, folder.broken) == (shards.pictures, shards.captioned, shards.broken)
    assert folder.captioned == len(COLOURS)


def test_a_tokenizer_is_measured_on_own_pictures(command_line, places):
    folder, shards = (scores(command_line, "vq-vae-64", "--data", place) for place in places)
    assert set(folder["scores"]) >= {"psnr/own", "ssim/own", "frechet/own", "codebook/usage"}
    assert folder == shards
    assert folder["protocol"]["count"] == len(COLOURS)


def test_an_encoder_is_measured_on_own_captions(places):
    from limner.data.own import open_own
    from limner.evaluate.own import examples_of, matching_scores
    from limner.languages.subwords import Subwords
    from limner.recipes.encoders import clip

    model = clip.RECIPE.build(clip.RECIPE.knobs(**clip.RECIPE.tiny)).eval()
    own = open_own(places[0])
    model.subwords = Subwords.trained(own.captions, size=60, length=model.subwords.length)
    examples = examples_of(own, model.encoder.size, None, captioned=True)
    found = matching_scores(model, examples)
    assert set(found) == {f"retrieval/own/{way}@{k}" for way in ("image_to_text", "text_to_image") for k in (1, 5)}
    assert all(0 <= value <= 1 for value in found.values())


def test_what_draws_is_measured_on_own_captions(command_line, places):
    found = scores(command_line, "var-emoji-64-small", "--data", places[1], "--count", 2)
    assert set(found["scores"]) == {"frechet/own"}


def test_what_answers_is_measured_on_own_captions(places):
    import limner
    from limner.recipe import EvaluationRequest
    from limner.recipes.scores import vision_language_scores

    reader = limner.load("limner-64").vision_language
    folder, shards = (
        vision_language_scores(reader, EvaluationRequest("limner-64", count=2, data=str(place))) for place in places
    )
    assert set(folder["scores"]) == {"loss/own", "words/own"}
    assert folder == shards


@pytest.mark.slow
def test_what_answers_is_measured_on_own_questions(command_line, places, tmp_path):
    rows = [
        {
            "question": "What colour is it?",
            "options": ["red", "blue"],
            "answer": "A",
            "image": str(places[0] / "v1.0.png"),
        },
        {"question": "Is there a heart?", "answer": "no"},
    ]
    (tmp_path / "q.jsonl").write_text("\n".join(map(json.dumps, rows)))
    found = scores(command_line, "limner-64", "--data", tmp_path / "q.jsonl")
    assert set(found["scores"]) >= {"qa/own", "unread/own"}


def test_what_cannot_be_measured_is_named(command_line, places, tmp_path):
    for arguments, sentence in (
        (("recogniser", "--data", places[0]), "evaluate it without --data"),
        (("vq-vae-64", "--data", tmp_path / "no"), "is not a folder"),
        (("vq-vae-64", "--pictures", tmp_path), "--pictures belongs to a JSON file of --data"),
        (("vq-vae-64", "--data", places[0], "--max-pixels", 100), "2,000"),
    ):
        done = command_line("evaluate", *arguments)
        assert done.code == 2, done
        assert sentence.replace("2,000", "100 allowed") in done.err


@pytest.mark.slow
def test_what_is_packed_can_be_trained_on_and_tokenized(command_line, places, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    small = ("--size", 16, "--widths", 8, 8, 8, "--encoder-depths", 1, 1, 1, "--decoder-depths", 1, 1, 1)
    done = command_line("train", "vq-vae", "--data", places[1], "--out", "t", "--images", 8, "--batch", 4, *small)
    assert done.code == 0, done.err
    assert "psnr/own" in scores(command_line, "t", "--data", places[1])["scores"]
    done = command_line("tokens", places[1], "-m", "t", "-o", "page.png", "--json")
    assert done.code == 0, done.err
    assert len(json.loads(done.out)["pictures"]) == len(COLOURS)


def test_what_is_scored_in_training_was_not_learned_from(places):
    from limner.lessons.pictures import learning_from

    stream, unseen = learning_from(places[0], 16, 0)
    learned = {stream.sources[0][i].caption for i in range(len(stream.sources[0]))}
    kept = {unseen["own"][i].caption for i in range(len(unseen["own"]))}
    assert kept
    assert not learned & kept
    assert len(learned | kept) == len(COLOURS)
