"""Captions to subwords, pictures to pieces, and streams that are functions of a number."""

from __future__ import annotations

import numpy as np
import pytest
import torch

pytestmark = pytest.mark.timeout(300)  # the first test of a session trains what it needs

CAPTIONS = ["a red heart", "a blue star", "a red star left of a blue heart", "airplane"]


@pytest.fixture
def subwords():
    from limner.languages.subwords import Subwords

    return Subwords.trained(CAPTIONS, size=64, length=12)


def test_a_vocabulary_travels_in_the_state(subwords):
    from limner.languages.subwords import Subwords

    other = Subwords(12)
    other.load_state_dict(subwords.state_dict())
    assert torch.equal(other.encode(CAPTIONS), subwords.encode(CAPTIONS))
    assert subwords.vocabulary.get_vocab_size() <= 64


@pytest.mark.parametrize("attempt", range(4))
def test_equal_captions_make_equal_vocabularies(subwords, attempt):
    """Else a run that is resumed, or one with the same seed, would number words differently."""
    from limner.languages.subwords import Subwords

    again = Subwords.trained(reversed(CAPTIONS), size=64, length=12)
    assert torch.equal(again.get_extra_state(), subwords.get_extra_state())


def test_captions_become_padded_rows(subwords):
    ids = subwords.encode(["a red heart", "A  RED\theart", "star", ""])
    assert ids.shape == (4, 12)
    assert torch.equal(ids[0], ids[1])  # case and spaces do not matter
    assert (ids[3] == 0).all()
    assert subwords.vocabulary.decode(ids[0].tolist()) == "a red heart"
    assert [int((row > 0).sum()) for row in ids[:1]] == [len(subwords.vocabulary.encode("a red heart").ids)]


def test_a_caption_that_is_too_long_names_the_remedy(subwords):
    from limner.errors import InputError

    with pytest.raises(InputError, match=r"'heart heart .*' has 20 subwords, .* reads 12: .*--text-length 20"):
        subwords.encode(["a red heart", "heart " * 20])


def test_unknown_words_are_named(subwords):
    assert subwords.unknown("a red heart") == []
    assert subwords.unknown("a Zebra and a ξ, zebra") == ["Zebra", "ξ", ",", "zebra"]


@pytest.fixture
def tokenizers(trained):
    import limner

    for path in ("tokenizers/ae", "tokenizers/vae", "tokenizers/vq_vae"):
        trained(path)
    return {name: limner.load(name) for name in ("ae-64", "vae-64", "vq-vae-64")}


def test_pieces_are_kept_and_read_back(tokenizers, album, tmp_path, monkeypatch):
    from limner.data.folder import Folder
    from limner.lessons import captions as captioned
    from limner.nn.pixels import to_tensor
    from limner.types import Rng

    folder = Folder(album, size=32)
    first = captioned.TokenizedPictures(tokenizers["vae-64"], [folder], tmp_path / "cache", {"pictures": "album"})
    assert first.captions == folder.captions
    kept = next((tmp_path / "cache").iterdir())
    written = kept.stat().st_mtime_ns
    second = captioned.TokenizedPictures(tokenizers["vae-64"], [folder], tmp_path / "cache", {"pictures": "album"})
    assert kept.stat().st_mtime_ns == written
    assert second.captions == first.captions
    index = torch.tensor([7, 0])
    assert torch.equal(first.tokens(index, Rng(1)), second.tokens(index, Rng(1)))
    assert not torch.equal(first.tokens(index, Rng(1)), first.tokens(index, Rng(2)))  # drawn from the posterior
    image = to_tensor([folder[7].image, folder[0].image])
    expected = tokenizers["vae-64"].encode(image, Rng(1))
    assert expected.shape == (2, 16, 4)
    draws = torch.stack([first.tokens(index, Rng(seed)) for seed in range(200)])
    spread = first.kept["deviation"][index]
    assert ((draws.mean(0) - tokenizers["vae-64"].encode(image)).abs() <= 0.5 * spread + 1e-4).all()


def test_pieces_of_other_tokenizers_and_data_are_not_confused(tokenizers, album, tmp_path):
    from limner.data.folder import Folder
    from limner.lessons.captions import TokenizedPictures
    from limner.types import Rng

    folder, cache = Folder(album, size=32), tmp_path / "cache"
    index = torch.arange(10)
    made = {name: TokenizedPictures(tokenizer, [folder], cache, {}) for name, tokenizer in tokenizers.items()}
    assert len(list(cache.iterdir())) == 3
    for name, tokenizer in tokenizers.items():
        again = TokenizedPictures(tokenizer, [folder], cache, {})
        assert torch.equal(again.tokens(index, Rng(0)), made[name].tokens(index, Rng(0)))
    assert made["vq-vae-64"].tokens(index, Rng(0)).dtype == torch.int64
    with torch.no_grad():
        tokenizers["ae-64"].encoder[1].bias += 1
    TokenizedPictures(tokenizers["ae-64"], [folder], cache, {})
    TokenizedPictures(tokenizers["ae-64"], [folder, folder], cache, {})
    assert len(list(cache.iterdir())) == 5


def test_a_folder_s_fingerprint_changes_with_it(album):
    from limner.data.folder import Folder

    seen = [Folder(album, size=32).fingerprint()]
    assert Folder(album, size=32).fingerprint() == seen[0]
    (album / "3.txt").write_text("a dog in the sun")
    seen.append(Folder(album, size=32).fingerprint())
    (album / "4.png").write_bytes((album / "5.png").read_bytes())
    seen.append(Folder(album, size=32).fingerprint())
    (album / "6.png").unlink()
    (album / "6.txt").unlink()
    seen += [Folder(album, size=32).fingerprint(), Folder(album, size=16).fingerprint()]
    assert len(set(seen)) == 5


def test_more_pictures_are_taken_apart_when_a_run_goes_on(trained, album, tmp_path):
    """The cache must not answer for a folder that has changed, and the vocabulary stays that of the weights."""
    import shutil
    from dataclasses import replace

    from limner.train import loop

    zoo = trained("generators/mar")
    knobs = replace(zoo.knobs, data=album, out=tmp_path / "run", images=8)
    first = loop.train(zoo.recipe.task(knobs), knobs, knobs.out, bar=False)
    words = first.task.model.subwords.get_extra_state()
    shutil.copy(album / "0.png", album / "new.png")
    (album / "new.txt").write_text("something quite different")
    more = replace(knobs, images=16)
    task = zoo.recipe.task(more)
    stream = task.batch.__self__
    assert len(stream.pictures.captions) == len(stream.pictures.kept["mean"]) == 11
    assert not torch.equal(task.model.subwords.get_extra_state(), words)
    task.batch(0, 2)  # whoever looks at a batch before the run is read back does not settle what words are called
    second = loop.train(task, more, more.out, bar=False)
    assert second.steps == 2
    assert torch.equal(task.model.subwords.get_extra_state(), words)
    assert torch.equal(stream.text, first.task.model.subwords.encode(stream.pictures.captions))


def test_a_folder_without_captions_cannot_be_drawn_from(trained, album, tmp_path):
    from dataclasses import replace

    from limner.errors import InputError

    zoo = trained("generators/mar")
    for text in album.glob("*.txt"):
        text.unlink()
    with pytest.raises(InputError, match="no picture in .*album has a caption"):
        zoo.recipe.task(replace(zoo.knobs, data=album, out=tmp_path))


class Numbered:
    """A source whose example i is a picture full of i."""

    def __init__(self, length: int, base: int = 0) -> None:
        self.length, self.base, self.reads = length, base, 0

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int):
        from limner.data.source import Example

        self.reads += 1
        return Example(np.full((8, 8, 3), self.base + index, np.uint8), str(self.base + index), index)


def test_a_stream_is_a_function_of_its_seed_and_number():
    from limner.data.stream import Stream, chain, mirrored, recoloured, shifted

    def stream(seed: int) -> Stream:
        return Stream(
            [Numbered(10), Numbered(7, 100)], (3.0, 1.0), vary=[chain(mirrored, recoloured), shifted], seed=seed
        )

    one, other = stream(0), stream(0)
    forwards = [example.caption for example in one.take(0, 200)]
    backwards = [other[k].caption for k in reversed(range(200))][::-1]
    assert forwards == backwards
    assert forwards != [example.caption for example in stream(1).take(0, 200)]
    share = sum(int(caption) < 100 for caption in forwards) / 200
    assert 0.6 < share < 0.9
    assert {int(caption) for caption in forwards} == {*range(10), *range(100, 107)}


def test_one_source_is_passed_through_in_epochs():
    from limner.data.stream import Stream

    stream = Stream([Numbered(10)], seed=3)
    epochs = [[example.caption for example in stream.take(start, 10)] for start in (0, 10, 500)]
    assert all(sorted(epoch, key=int) == [str(i) for i in range(10)] for epoch in epochs)
    assert epochs[0] != epochs[1]
    assert [example.caption for example in stream.take(0, 10)] == epochs[0]  # epochs that were forgotten come back


def test_subset_and_kept_are_views():
    from limner.data.stream import CachedSource, Subset

    source = Numbered(10)
    subset = Subset(source, [7, 2])
    assert (len(subset), subset[0].caption, subset[1].caption) == (2, "7", "2")
    kept = CachedSource(source, count=2)
    reads = source.reads
    assert [kept[i].caption for i in (4, 5, 6, 4, 5, 6, 6)] == ["4", "5", "6", "4", "5", "6", "6"]
    assert source.reads - reads == 5  # 6 came too late to be kept
    assert len(kept) == 10


def test_drawn_shares_decide_which_pieces_are_seen(trained):
    zoo = trained("generators/mar")
    task = zoo.run.task
    batch = task.batch(0, 64)
    assert batch["tokens"].shape == (64, 4, 16)
    assert batch["text"].shape == (64, 48)
    again = task.batch(0, 64)
    assert all(torch.equal(batch[key], again[key]) for key in batch)
    assert not torch.equal(task.batch(64, 64)["text"], batch["text"])


def test_held_out_names_are_not_taught(trained):
    from limner.data.scenes import HELD_OUT_NAMES

    pieces = trained("generators/mar").run.task.batch.__self__.pictures
    assert not HELD_OUT_NAMES & set(pieces.captions)
    assert pieces.starts[-1] == len(pieces.captions) > 1700


def test_permutations_give_way_to_raster_order(trained):
    """The share of permuted pictures is a function of the images seen, so a run that is resumed goes on with it."""
    from limner.recipes.generators import rar
    from limner.types import Rng

    zoo = trained("generators/rar")
    task, order = zoo.run.task, rar.annealing(zoo.knobs)
    assert order(torch.tensor([0.0, 0.5, 0.625, 0.75, 1.0])).share.tolist() == [1.0, 1.0, 0.5, 0.0, 0.0]
    early, late = task.batch(0, 8), task.batch(12, 8)
    assert early["progress"].tolist() == [image / 16 for image in range(8)]
    assert late["progress"].tolist() == [min(image / 16, 1.0) for image in range(12, 20)]
    late = {**early, "progress": late["progress"]}
    raster = task.model.generator.loss(early["tokens"], early["text"], Rng(0), order(torch.ones(8)))
    assert torch.equal(task.loss(task.model, late, Rng(0))[0], raster)
    assert not torch.equal(task.loss(task.model, early, Rng(0))[0], raster)


def test_a_tokenizer_of_other_tokens_is_refused(trained):
    from dataclasses import replace

    from limner.errors import InputError

    for path in ("tokenizers/vae", "tokenizers/titok", "tokenizers/multiscale"):
        trained(path)
    zoo = {name: trained(f"generators/{name}") for name in ("llamagen", "var", "xar")}
    for name, tokenizer, sentence in (
        ("llamagen", "vae-64", "vae-64 has no codebook"),
        ("llamagen", "titok-64", "tokens of titok-64 lie as 6, .* draws one grid .*: choose one such as vq-vae-64"),
        ("var", "vq-vae-64", "vq-vae-64 makes no pyramids: choose one that does, such as multiscale-64"),
        ("xar", "multiscale-64", "multiscale-64 has a codebook"),
    ):
        with pytest.raises(InputError, match=sentence):
            zoo[name].recipe.build(replace(zoo[name].knobs, tokenizer=tokenizer))
    with pytest.raises(InputError, match="--cell 3 does not divide the 4x4 latents of vae-64"):
        zoo["xar"].recipe.build(replace(zoo["xar"].knobs, cell=3))


def test_the_scales_of_a_tokenizer_grow_up_to_its_latents():
    from limner.errors import InputError
    from limner.recipes.tokenizers.multiscale import Knobs

    with pytest.raises(InputError, match="--sides are 1 2 4, but must grow up to 8"):
        Knobs(sides=(1, 2, 4))
