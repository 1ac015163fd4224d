"""limner compare: two tiny recipes trained, swept, tabled and drawn; resumed, extended, refused where it must be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from limner.compare.budget import Budget, Cost, images_of, read_budget
from limner.compare.entrants import read_entrant, read_entrants
from limner.compare.parameters import NEAR, count_parameters, matched, off
from limner.compare.sweep import forward_passes, paced, paces
from limner.errors import InputError

pytestmark = pytest.mark.timeout(600)  # the first test of a session trains what it needs
SMALL = "width=64,text_length=48,vocabulary=300,batch=5"


@pytest.fixture
def judged(shipped: Any) -> None:
    """Tokenizers and judges ship, tiny."""
    shipped("tokenizers/vq_vae", "tokenizers/vae", "encoders/recogniser", "encoders/features")


def test_budgets_are_read_and_spent() -> None:
    assert read_budget("20m") == Budget("20m", 1200.0, "seconds")
    assert read_budget("1.5h").amount == 5400.0
    assert read_budget("3e15flops") == Budget("3e15flops", 3e15, "flops")
    assert read_budget("100,000images").amount == 100_000
    cost = Cost(seconds=0.01, flops=2e9)
    assert images_of(read_budget("10s"), cost, 64) == 1024  # 1,000 in whole batches
    assert images_of(read_budget("1e12flops"), cost, 64) == 512
    assert images_of(read_budget("90images"), cost, 64) == 64
    assert images_of(read_budget("1s"), Cost(5.0, 1.0), 64) == 64
    for wrong in ("", "20", "0m", "-3m", "20 minutes", "1e3"):
        with pytest.raises(InputError, match="is no budget: write 20m"):
            read_budget(wrong)


def test_a_recipe_is_given_with_its_knobs() -> None:
    xar = read_entrant("xar:noisy=False,width=128", "width=64,scenes=9")
    assert (xar.label, xar.path, xar.family) == ("xar:noisy=False,width=128", "generators/xar", "generators")
    assert (xar.knobs.noisy, xar.knobs.width, xar.knobs.scenes) == (False, 128, 9)
    assert xar.folder == "xar-noisy=False,width=128"
    assert read_entrant("multiscale:sides=1 2 8,data=none").knobs.sides == (1, 2, 8)
    assert read_entrant("maskgit:tokenizer=64").knobs.tokenizer == "64"


@pytest.mark.parametrize(
    ("texts", "sentence"),
    [
        (["mar:widht=64"], "mar:widht=64 has no knob 'widht=64'"),
        (["mar:width"], "has no knob 'width'"),
        (["mar:width=wide"], "mar:width=wide: width cannot be 'wide'"),
        (["mar:width=100"], "--width is 100, but must be a multiple of 64"),
        (["mar:images=5"], "cannot have images of its own"),
        (["mar", "vae"], "generators and tokenizers have no score in common"),
        (["mar", "generators/mar"], "mar is compared twice"),
        (["rasster"], "did you mean generators/raster"),
        (["mmstar"], "measures models and trains none"),
    ],
)
def test_what_cannot_be_compared_is_refused(texts: list[str], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        read_entrants(texts)


def test_parameters_are_matched_by_width_and_depth(judged: None) -> None:
    target = count_parameters(read_entrant("raster", SMALL))
    deep = read_entrant("maskgit:depth=7", SMALL)
    found = matched(deep, target)
    assert abs(off(count_parameters(found), target)) <= NEAR
    assert found.knobs.width == 64
    assert found.label == deep.label
    wide = matched(deep, 1_500_000)
    assert abs(off(count_parameters(wide), 1_500_000)) <= NEAR
    assert matched(found, target) == found


def test_paces_are_what_the_order_allows(trained: Any) -> None:
    from limner.store.folder import load

    steps = [pace["steps"] for pace in paces(load(trained("generators/maskgit").folder))]
    assert steps == [1, 2, 4, 8, 16]
    assert paces(load(trained("generators/raster").folder)) == [{}]
    xar = load(trained("generators/xar").folder)
    assert paces(xar) == [{"head_steps": 2}, {}]
    assert forward_passes(paced(xar, {"head_steps": 2})) < forward_passes(xar)
    assert forward_passes(load(trained("generators/raster").folder)) == 16


@pytest.mark.slow
def test_a_comparison_from_beginning_to_end(judged: None, album: Path, tmp_path: Path, command_line: Any) -> None:
    out = tmp_path / "compared"
    request = ["raster:depth=1", "maskgit:depth=1", "--budget", "40images", "--count", "2", "--threads", "1"]
    request += ["--with", f"{SMALL},data={album}", "--out", out]
    first = command_line("compare", *request, "--seeds", "1")
    assert first.code == 0, first.err
    assert {path.name for path in out.iterdir()} == {
        *("plan.json", "comparison.json", "table.md", "grid.png", "cache", "runs"),
        *("quality-passes.png", "quality-seconds.png", "quality-parameters.png"),
    }
    written = {path: path.stat().st_mtime_ns for path in out.rglob("*.safetensors")}
    again = command_line("compare", *request, "--seeds", "2", "--json")
    assert again.code == 0, again.err
    assert all(path.stat().st_mtime_ns == before for path, before in written.items())
    result = json.loads(again.out)
    raster, maskgit = result["recipes"]
    assert result["seeds"] == [0, 1]
    assert raster["images"] == maskgit["images"] == 40
    assert [point["steps"] for point in maskgit["points"]] == [1, 2, 4, 8, 16]
    assert [point["forward_passes"] for point in maskgit["points"]] == [1, 2, 4, 8, 16]
    assert [point["own"] for point in maskgit["points"]] == [False, False, False, True, False]
    assert [point["forward_passes"] for point in raster["points"]] == [16]
    accuracy = raster["points"][0]["quality"]["prompt accuracy"]
    assert len(accuracy["values"]) == 2
    assert accuracy["mean"] == pytest.approx(sum(accuracy["values"]) / 2)
    table = (out / "table.md").read_text()
    assert table.count("| maskgit:depth=1 |") == 4
    assert table.count("**maskgit:depth=1**") == 1
    refused = command_line("compare", *request, "--budget", "80images")
    assert refused.code == 2
    assert "was begun with --budget 40images, not 80images" in refused.err


@pytest.mark.slow
def test_an_interrupted_training_goes_on(judged: None, album: Path, tmp_path: Path) -> None:
    import os
    import signal
    import threading
    import time

    from limner.compare.comparison import compare
    from limner.compare.plan import ComparisonRequest

    request = ComparisonRequest(
        recipes=("raster:depth=1",),
        budget="200images",
        seeds=1,
        out=tmp_path,
        shared=f"{SMALL},data={album}",
        count=2,
        threads=1,
    )

    def interrupt(line: str) -> None:
        if "training on" in line:
            threading.Thread(target=press, args=(signal.getsignal(signal.SIGINT),)).start()

    def press(before: object) -> None:
        """Ctrl-C, as soon as the loop listens."""
        while signal.getsignal(signal.SIGINT) is before:
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    assert compare(request, interrupt) is None
    assert not (tmp_path / "comparison.json").exists()
    whole = compare(request, lambda line: None)
    assert whole is not None
    assert whole["recipes"][0]["images"] == 200
