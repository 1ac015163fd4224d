"""One model that sees and draws: the language model that answers about pictures is the backbone that makes them.

    limner.see(picture, question)     encoder -> connector -> language model -> words             `Seer`
    limner.draw(caption)              words -> language model -> diffusion head -> latents        `Drawer`

What is seen and what is drawn enter the language model at one place, as combinations of its own words.
"""

from __future__ import annotations

from torch import nn

from limner.decode.drawing import Drawer
from limner.unified.seer import Seer


class Limner(nn.Module):
    """A `Seer` and a `Drawer` around one language model and one vocabulary.

    Args:
        seer: holds the language model, which is saved with it.
        drawer: its generator uses the same language model (`limner.unified.drawing`).
    """

    def __init__(self, seer: Seer, drawer: Drawer) -> None:
        super().__init__()
        self.seer, self.drawer = seer, drawer
