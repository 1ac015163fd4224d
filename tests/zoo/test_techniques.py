"""Every technique, applied to a tiny model of its host; and what the command line reads and refuses."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import combinations_with_replacement

import pytest
import torch
from PIL import Image

from limner.catalogue.recipes import find_recipes

pytestmark = pytest.mark.timeout(300)  # the first test of a session trains what it needs

TECHNIQUES = tuple(entry.path for entry in find_recipes() if entry.kind == "technique")


@dataclass(frozen=True)
class Scale:
    """Knobs of a technique of this test."""

    strength: float = 3.0
    cached: bool = True
    name: str | None = None


def guided():
    """A technique that multiplies the guidance of a decoder."""
    from limner.decode.decoder import Decoder
    from limner.recipe import Technique

    def apply(decoder: Decoder, knobs: Scale) -> Decoder:
        options = replace(decoder.options, guidance=decoder.options.guidance * knobs.strength)
        return replace(decoder, options=options, cached=knobs.cached)

    return Technique(state="works", paper="", knobs=Scale, apply=apply, on=Decoder, host="generators/var")


@pytest.mark.parametrize("path", TECHNIQUES)
def test_it_changes_its_host(trained, path):
    import limner
    from limner.store.techniques import find_technique

    technique = find_technique(path)
    name = trained(technique.host).name
    model = technique.change(limner.load(name), technique.knobs(**technique.tiny))
    if hasattr(model, "draw"):
        assert model.draw("tulip", seed=3)[0].size == limner.load(name).draw("tulip", seed=3)[0].size
    else:
        assert isinstance(model.see(Image.new("RGB", (32, 32), "red"), "What colour is it?"), str)
    assert technique.claims or technique.system is None


@pytest.fixture(scope="module")
def drawing():
    """Techniques of what draws."""
    from limner.store.techniques import find_technique

    found = {path: find_technique(path) for path in TECHNIQUES}
    return {path: technique for path, technique in found.items() if technique.host.startswith("generators/")}


def changed(name, *techniques):
    """What a fresh model draws under these techniques, or the sentence that refuses them."""
    import limner
    from limner.errors import InputError

    model = limner.load(name)
    try:
        for technique in techniques:
            model = technique.change(model, technique.knobs(**technique.tiny))
        return model.images(["tulip"], [3])
    except InputError as error:
        return str(error)


@pytest.mark.slow
def test_two_techniques_compose_in_both_orders_or_are_refused(trained, drawing):
    """To the same images, for each changes a part of its own, or with one sentence, whichever comes first."""
    composed = set()
    for one, other in combinations_with_replacement(drawing, 2):
        pair = drawing[one], drawing[other]
        for host in {technique.host for technique in pair}:
            name = trained(host).name
            first, second = changed(name, *pair), changed(name, *reversed(pair))
            assert isinstance(first, str) == isinstance(second, str), f"{one} and {other} on {host}: {first}, {second}"
            if isinstance(first, str):
                assert "\n" not in first
                assert ": " in first
                continue
            composed.add((one, other))
            assert torch.equal(first, second), f"{one} and {other} on {host} draw otherwise in another order"
    assert ("techniques/gsd", "techniques/speculative") in composed
    assert ("techniques/gsd", "techniques/gsd") not in composed


def test_neutral_knobs_change_nothing_where_nothing_is_random(trained, drawing):
    import limner

    neutral = {path: technique for path, technique in drawing.items() if technique.neutral is not None}
    assert neutral
    for path, technique in neutral.items():
        plain, model = (limner.load(trained(technique.host).name) for _ in range(2))
        technique.change(model, technique.knobs(**{**technique.tiny, **technique.neutral}))
        drawn, wanted = (one.images(["tulip", "cat"], [3, 4], temperature=0.0) for one in (model, plain))
        assert torch.equal(drawn, wanted), path


def test_smooth_draws_other_pictures(trained):
    import limner
    from limner.store.techniques import with_techniques

    name = trained("generators/var").name
    plain, smooth = limner.load(name), with_techniques(limner.load(name), ["smooth"])
    assert not torch.equal(plain.images(["tulip"], [3]), smooth.images(["tulip"], [3]))


def test_techniques_of_a_decoder_compose_in_call_order(trained):
    import limner

    model = limner.load(trained("generators/var").name)
    technique = guided()
    assert technique.change(technique.change(model, Scale(2.0)), Scale(5.0, cached=False)) is model
    decoder = model.decoder(model.generator)
    assert (decoder.options.guidance, decoder.cached) == (10.0, False)


def test_a_model_that_holds_another_is_changed_there(trained):
    import limner

    model = limner.load(trained("unified/limner").name)
    assert guided().change(model) is model
    assert model.decoder(model.generator).options.guidance == 3.0


def test_the_command_line_draws_with_a_technique(command_line, trained, tmp_path):
    name = trained("generators/var").name
    outcome = command_line("draw", "tulip", "-m", name, "--with", "smooth", "-o", tmp_path / "a.png", "--json")
    assert outcome.code == 0, outcome.err
    assert '"with": ["smooth"]' in outcome.out
    assert command_line("draw", "tulip", "-m", name, "-o", tmp_path / "b.png").code == 0
    assert (tmp_path / "a.png").read_bytes() != (tmp_path / "b.png").read_bytes()


@pytest.mark.parametrize(
    ("verb", "path", "text", "sentence"),
    [
        ("draw", "generators/var", "smoth", "there is no technique 'smoth': did you mean techniques/smooth?"),
        ("draw", "generators/var", "smooth:tau=2", "'tau=2' sets no knob of smooth: write knob=value, of none"),
        ("draw", "generators/mar", "smooth", "--with smooth: this technique mixes the codes of a pyramid"),
        (
            "see",
            "understanding/llava",
            "smooth",
            "is for ImageGenerator and not for VisionLanguageModel: choose a model of",
        ),
    ],
)
def test_what_a_technique_refuses(command_line, trained, album, tmp_path, verb, path, text, sentence):
    what = "tulip" if verb == "draw" else str(album / "0.png")
    arguments = ["-o", tmp_path / "a.png"] if verb == "draw" else []
    outcome = command_line(verb, what, "-m", trained(path).name, "--with", text, *arguments)
    assert (outcome.code, outcome.out) == (2, "")
    assert sentence in outcome.err
    assert outcome.err.count("\n") == 1


def test_knobs_are_read_from_text(monkeypatch):
    from limner.errors import InputError
    from limner.store import techniques

    monkeypatch.setattr(techniques, "find_technique", lambda name: guided())
    _, knobs = techniques.read_technique("guided:strength=4,cached=false,name=cosine")
    assert knobs == Scale(4.0, False, "cosine")
    assert isinstance(knobs.strength, float)
    assert techniques.read_technique("guided:name=null")[1] == Scale()
    assert techniques.read_technique("guided:name=[a,b],strength=2")[1] == Scale(2.0, name="[a,b]")
    with pytest.raises(InputError, match="cached is 'maybe', which is no bool"):
        techniques.read_technique("guided:cached=maybe")


@pytest.mark.parametrize("host", ["understanding/language_basis", "unified/limner"])
def test_pruned_patches_are_read_no_more(trained, host):
    """VTC-CLS: fewer tokens for the language model, each at its own learned position, and blanks among the words."""
    import limner
    from limner.store.techniques import with_techniques

    name, image = trained(host).name, torch.rand(1, 3, 16, 16) * 2 - 1
    plain, model = (getattr(one, "vision_language", one) for one in (limner.load(name), limner.load(name)))
    pruned = with_techniques(model, ["vtc-cls:keep=3"])
    assert (plain.image_tokens, pruned.image_tokens) == (4, 3)
    with torch.no_grad():
        row, column = pruned.reduce(pruned.encoder(image), None).positions[0].T
        assert torch.allclose(pruned.vectors(image), plain.vectors(image)[:, 2 * row + column], atol=1e-6)
    read = [patch[0].word for patches in pruned.words(image).patches for patch in patches]
    assert read.count("") == 1
    assert isinstance(pruned.see(image, "What colour is it?"), str)


def seeing() -> list[str]:
    """The techniques of models that see."""
    from limner.models.vision_language import VisionLanguageModel
    from limner.store.techniques import find_technique

    return [path for path in TECHNIQUES if find_technique(path).on is VisionLanguageModel]


@pytest.mark.parametrize("path", seeing())
def test_with_neutral_knobs_it_is_the_plain_model_to_the_bit(trained, path):
    """Every token kept, no second view: states, losses and answers of rows with pictures and without."""
    import limner
    from limner.data.conversations import Turn
    from limner.store.techniques import find_technique
    from limner.unified.conversation import pack

    technique = find_technique(path)
    assert technique.neutral is not None
    name, images = trained(technique.host).name, torch.rand(2, 3, 16, 16) * 2 - 1
    plain = limner.load(name)
    changed = technique.change(limner.load(name), technique.knobs(**{**technique.tiny, **technique.neutral}))
    questions = ["What is it?", "How many things are there?"]
    packed = pack([[Turn(questions[0])], [Turn(questions[1], "two")]], plain.vocabulary, plain.image_tokens)
    with torch.no_grad():
        assert torch.equal(*(model.hidden(packed, model.vectors(images)) for model in (plain, changed)))
        assert torch.equal(*(model.first_words(None, questions) for model in (plain, changed)))
    assert plain.answers(images, questions) == changed.answers(images, questions)
    assert plain.answers(None, questions) == changed.answers(None, questions)


@pytest.mark.parametrize("path", seeing())
def test_answers_of_a_batch_are_those_of_its_pictures(trained, path):
    import limner
    from limner.store.techniques import find_technique

    technique = find_technique(path)
    model = technique.change(limner.load(trained(technique.host).name), technique.knobs(**technique.tiny))
    images, questions = torch.rand(2, 3, 16, 16) * 2 - 1, ["What is it?", "How many things are there?"]
    together = model.answers(images, questions)
    assert together == [model.answers(images[i : i + 1], questions[i : i + 1])[0] for i in range(2)]


def test_pyramiddrop_refuses_layers_that_do_not_fit(trained):
    import limner
    from limner.errors import InputError
    from limner.store.techniques import with_techniques

    with pytest.raises(InputError, match=r"layers \[1, 2\] and ratios \[0.5\] do not fit"):
        with_techniques(limner.load(trained("understanding/llava").name), ["pyramiddrop:layers=[1,2],ratios=[0.5]"])


@pytest.mark.parametrize(
    ("texts", "sentence"),
    [
        (["pyramiddrop:ratios=[0.5]", "aim"], "already drops tokens from its layers by another technique"),
        (["ritual", "llava-align"], "already contrasts its pictures by another technique"),
        (["evit", "vtc-cls:keep=2"], "this technique reads attention"),
        (["tokens:count=1"], "makes one number of tokens"),
    ],
)
def test_what_does_not_go_together_is_refused(trained, texts, sentence):
    import limner
    from limner.errors import InputError
    from limner.store.techniques import with_techniques

    with pytest.raises(InputError, match=sentence):
        with_techniques(limner.load(trained("understanding/llava").name), texts)


def test_reductions_and_readers_and_views_compose(trained):
    import limner
    from limner.store.techniques import with_techniques

    texts = ["vtc-cls:keep=3", "aim:merged=0.5,slope=0", "ritual"]
    model = with_techniques(limner.load(trained("understanding/llava").name), texts)
    assert model.image_tokens == 1
    assert isinstance(model.see(Image.new("RGB", (32, 32), "red"), "What colour is it?"), str)
