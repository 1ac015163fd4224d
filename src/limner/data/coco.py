"""COCO's captions (Chen et al., arXiv:1504.00325): pictures by number, and for each of them a few captions.

    {"images": [{"id": 9, "file_name": "000000000009.jpg"}, ...],
     "annotations": [{"image_id": 9, "caption": "A bowl of soup."}, ...]}

A picture is one row: each of its captions answers the same request, and no caption sees another. Pictures without a
caption are left out.
"""

from __future__ import annotations

from typing import Any

from limner.data.conversations import DESCRIBE, Turn
from limner.data.lines import half_of
from limner.data.rows import ConversationRow, inside


def rows(content: dict[str, Any], file: str) -> tuple[list[ConversationRow], list[str]]:
    """Sound rows in the order of the pictures, and a sentence about everything else."""
    images, annotations = content["images"], content["annotations"]
    for key, value in (("images", images), ("annotations", annotations)):
        if not isinstance(value, list):
            return [], [f"\"{key}\" of '{file}' is no list: fetch or export it again"]
    problems: list[str] = []
    names: dict[Any, str] = {}
    for number, image in enumerate(images, 1):
        if problem := _wrong_image(image, names):
            problems.append(f"image {number} of '{file}' {problem}")
        else:
            names[image["id"]] = image["file_name"]
    captions: dict[Any, list[Turn]] = {key: [] for key in names}
    for number, annotation in enumerate(annotations, 1):
        if problem := _wrong_caption(annotation, names):
            problems.append(f"annotation {number} of '{file}' {problem}")
        else:
            text = " ".join(annotation["caption"].split())
            captions[annotation["image_id"]].append(Turn(DESCRIBE, text, "caption"))
    found = [
        ConversationRow(f"image {key}", names[key], tuple(turns), apart=True)
        for key, turns in captions.items()
        if turns
    ]
    return found, problems


def uncaptioned(content: dict[str, Any]) -> int:
    """Pictures that no annotation is about."""
    images, annotations = content["images"], content["annotations"]
    if not isinstance(images, list) or not isinstance(annotations, list):
        return 0
    captioned = {repr(one.get("image_id")) for one in annotations if isinstance(one, dict)}
    return sum(isinstance(one, dict) and repr(one.get("id")) not in captioned for one in images)


def _wrong_image(image: Any, names: dict[Any, str]) -> str:
    """What is wrong with an image, if anything is."""
    if not isinstance(image, dict) or not isinstance(image.get("id"), str | int):
        return 'has no "id": write {"id": 9, "file_name": "9.jpg"}'
    if not isinstance(image.get("file_name"), str) or not image["file_name"] or not inside(image["file_name"]):
        return 'has a "file_name" that is no path in the folder of pictures: correct it'
    if image["id"] in names:
        return f"has the id {image['id']!r} a second time: give every image its own"
    return ""


def _wrong_caption(annotation: Any, names: dict[Any, str]) -> str:
    """What is wrong with a caption, if anything is."""
    if not isinstance(annotation, dict) or not isinstance(annotation.get("caption"), str):
        return 'has no "caption": write {"image_id": 9, "caption": "..."}; boxes and keypoints are no captions'
    if not isinstance(annotation.get("image_id"), str | int) or annotation["image_id"] not in names:
        return f"is about image {annotation.get('image_id')!r}, which is not there: add the image, or take it away"
    if half := half_of(annotation["caption"]):
        return f"holds {half}: write the text again as UTF-8"
    if not annotation["caption"].strip():
        return "says nothing: write a caption, or take it away"
    return ""
