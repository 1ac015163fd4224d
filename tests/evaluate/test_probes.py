from __future__ import annotations

from collections import Counter

import pytest

from limner.data.question_sets import Item, Trial
from limner.data.scenes import Scenes
from limner.errors import InputError
from limner.evaluate.extraction import official_yes_no
from limner.evaluate.probes import KINDS, probe_scores, probes, scene_probes, yes_no_scores

PICTURES = (("dog", "cat"), ("dog", "cat", "cow"), ("dog", "hen"), ("dog", "cat"), ("hen", "pig"), ("fox",))


@pytest.mark.parametrize("negatives", KINDS)
def test_half_is_there_and_half_is_not(negatives):
    made = probes(PICTURES, negatives, count=2)
    assert Counter(probe.present for probe in made) == {True: 10, False: 10}
    for probe in made:
        assert (probe.noun in PICTURES[probe.picture]) == probe.present
    assert len(set(made)) == len(made)
    assert {probe.picture for probe in made} == {0, 1, 2, 3, 4}  # the last shows too little


def test_popular_negatives_are_the_most_frequent_absent_ones():
    made = [probe for probe in probes(PICTURES, "popular", count=2) if not probe.present]
    assert [probe.noun for probe in made if probe.picture == 0] == ["hen", "cow"]
    assert [probe.noun for probe in made if probe.picture == 4] == ["dog", "cat"]


def test_adversarial_negatives_go_with_what_is_there():
    made = [probe for probe in probes(PICTURES, "adversarial", count=2) if not probe.present]
    assert next(probe.noun for probe in made if probe.picture == 0) == "cow"  # seen with a dog: cat (present), cow, hen
    assert [probe.noun for probe in made if probe.picture == 2] == ["cat", "pig"]


def test_random_negatives_are_all_taken_and_follow_the_seed():
    many = [("dog", "cat")] * 200 + [("cow", "hen"), ("pig", "fox")]
    drawn = Counter(probe.noun for probe in probes(many, "random", count=1)[:400] if not probe.present)
    assert set(drawn) == {"cow", "hen", "pig", "fox"}
    assert min(drawn.values()) > 25
    assert probes(many, "random", count=1) == probes(many, "random", count=1)
    assert probes(many, "random", count=1) != probes(many, "random", count=1, seed=1)


def test_what_cannot_be_probed_is_refused():
    with pytest.raises(InputError, match="no picture shows 3"):
        probes([("dog", "dog", "cat")], "random", count=3)
    with pytest.raises(InputError, match="picture 0 lacks 0 of 2 nouns"):
        probes([("dog", "cat")], "random", count=1)


@pytest.mark.parametrize("negatives", KINDS)
def test_scenes_are_probed(negatives):
    source = Scenes(0, size=16, objects=(2, 4))
    made = scene_probes([source[i] for i in range(40)], negatives)
    assert len(made) > 100
    for item, scene in made:
        noun = item.question.removeprefix("Is there a").removeprefix("n").removesuffix(" in the picture?").strip()
        assert (item.answers == ("yes",)) == (noun in {thing.shape for thing in scene.things})
        assert item.category == f"probe/{negatives}"
    assert len({item.id for item, _ in made}) == len(made)


def test_scores_of_yes_and_no():
    truth = [True, True, True, False, False, False]
    found = yes_no_scores(["Yes", "yes.", "no", "Yes, there is", "No.", "hm"], truth)
    assert found == pytest.approx((3 / 6, 2 / 3, 2 / 3, 2 / 3, 3 / 6, 1 / 6))
    official = yes_no_scores(["Yes", "yes.", "no", "Yes, there is", "No.", "hm"], truth, official_yes_no)
    assert official == pytest.approx((3 / 6, 2 / 4, 2 / 3, 4 / 7, 4 / 6, 0.0))
    assert yes_no_scores(["no"], [True]) == (0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    with pytest.raises(InputError, match="1 answers to 2 questions"):
        yes_no_scores(["yes"], [True, False])


def test_only_yes_no_categories_are_scored():
    items = [
        Item("1", "Is there a dog?", ("yes",), category="dogs"),
        Item("2", "Is there a cat?", ("no",), category="cats"),
        Item("3", "How many cats?", ("two",), category="cats"),
        Item("4", "Is there a cow?", ("yes",), ("yes", "no"), category="cows"),
    ]
    scores = probe_scores(items, [Trial(item.id, "yes") for item in items])
    assert scores == {"dogs": (1.0, 1.0, 1.0, 1.0, 1.0, 0.0)}
