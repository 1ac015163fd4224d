from __future__ import annotations

import json
from dataclasses import fields, replace

import pytest
import torch


@pytest.fixture
def protocol():
    from limner.evaluate.protocol import Protocol

    return Protocol(reference="90 emoji", count=90, size=64, judge="features", judge_hash="ab", seed=0)


def test_every_field_changes_the_hash(protocol):
    for field in fields(protocol):
        value = getattr(protocol, field.name)
        other = replace(protocol, **{field.name: value + 1 if isinstance(value, int) else value + "x"})
        assert other.hash != protocol.hash, field.name
    assert replace(protocol).hash == protocol.hash


def test_scores_of_one_protocol_compare_and_others_are_refused_by_field(protocol):
    from limner.errors import ProtocolError
    from limner.evaluate.protocol import Score

    worse, better = Score("psnr/emoji", 25.0, protocol), Score("psnr/emoji", 27.0, protocol)
    assert better - worse == 2.0
    assert worse < better
    assert better > worse
    assert max([worse, better]) is better
    with pytest.raises(ProtocolError, match=r"differ in judge_hash \(ab and cd\)"):
        _ = better - Score("psnr/emoji", 25.0, replace(protocol, judge_hash="cd"))
    with pytest.raises(ProtocolError, match="differ in count"):
        _ = better < Score("psnr/emoji", 25.0, replace(protocol, count=80, seed=3))
    with pytest.raises(ProtocolError, match="different scores"):
        _ = better > Score("ssim/emoji", 0.9, protocol)


def test_a_report_goes_through_json_and_back(protocol, tmp_path):
    from limner.errors import InputError
    from limner.evaluate.report import read_scores, report

    content = report("vae-64", "cafe", protocol, {"psnr/emoji": 27.12345678})
    assert set(content) == {"model", "protocol", "weights", "scores", "hash"}
    assert content["protocol"]["hash"] == protocol.hash
    (tmp_path / "a.json").write_text(json.dumps(content))
    score = read_scores(tmp_path / "a.json")["psnr/emoji"]
    assert score.protocol == protocol
    assert score.value == pytest.approx(27.12345678, abs=1e-6)
    (tmp_path / "b.json").write_text('{"scores": {}}')
    with pytest.raises(InputError, match="is no report"):
        read_scores(tmp_path / "b.json")


def test_the_weights_hash_sees_values_names_and_dtypes():
    from limner.evaluate.protocol import weights_hash

    torch.manual_seed(0)
    net = torch.nn.Linear(3, 2)
    before = weights_hash(net)
    assert before == weights_hash(net)
    assert weights_hash(torch.nn.Sequential(net)) != before
    with torch.no_grad():
        net.weight[0, 0] += 1e-6
    changed = weights_hash(net)
    assert changed != before
    assert weights_hash(net.to(torch.bfloat16)) != changed


def test_the_picture_hash_sees_pixels_texts_and_order():
    import numpy as np

    from limner.evaluate.report import pictures_hash

    a, b = np.zeros((2, 2, 3), np.uint8), np.ones((2, 2, 3), np.uint8)
    hashes = {
        pictures_hash([a, b]),
        pictures_hash([b, a]),
        pictures_hash([a]),
        pictures_hash([a.reshape(1, 4, 3), b]),
        pictures_hash([a, b], ["red"]),
        pictures_hash([a, b], ["re", "d"]),
    }
    assert len(hashes) == 6
