"""CoDe against the authors' code: two VARs, the recorded ids, the same logits."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from tests.parity.goldens import Golden, Replay, agree, goldens
from torch import Tensor

from limner.decode.decoder import Decoder
from limner.decode.handover import Handover
from limner.decode.schedules import with_steps
from limner.generators.generator import Generator
from limner.generators.heads.categorical import SoftmaxHead, cut
from limner.generators.heads.head import Contexts, SamplingOptions, guide
from limner.store.official.var import RELEASES, VarSizes, VarTokenizerSizes, official_generator, official_tokenizer
from limner.tokenizers.quantizers.multiscale import MultiScaleQuantizer
from limner.types import Rng

CASES = goldens("code-var")


def quantizer_of(golden: Golden) -> MultiScaleQuantizer:
    config, state = golden.config, golden.under("state.vae.quantize.")
    phis = len({key for key in state if "qresi" in key and key.endswith("weight")})
    sizes = VarTokenizerSizes(
        sides=tuple(config["patch_nums"]), entries=config["V"], channels=config["Cvae"], phis=phis, width=config["ch"]
    )
    quantizer = official_tokenizer(sizes).quantizer.eval()
    own = {"codebook": state["embedding.weight"], "counts": quantizer.counts}
    for index in range(phis):
        for part in ("weight", "bias"):
            own[f"phis.{index}.{part}"] = state[f"quant_resi.qresi_ls.{index}.{part}"]
    quantizer.load_state_dict(own)
    return quantizer


def filled(golden: Golden, part: str, quantizer: MultiScaleQuantizer) -> Generator:
    config, own, state = golden.config, golden.config[part], golden.under(f"state.{part}.")
    sizes = VarSizes(
        width=own["width"],
        depth=own["depth"],
        heads=own["heads"],
        shared=not any(".ada_lin." in key and key.startswith("blocks.0.") for key in state),
        sides=tuple(config["patch_nums"]),
        entries=config["V"],
        channels=config["Cvae"],
        classes=len(state["class_emb.weight"]) - 1,
    )
    generator = official_generator(sizes, quantizer).eval()
    RELEASES[1].fill(generator, state)
    return generator


class Dictated(SoftmaxHead):
    """A head that notes its raw logits, and draws given ids."""

    def __init__(self, head: SoftmaxHead, ids: list[Tensor]) -> None:
        super().__init__()
        self.head, self.embed, self.ids = head, head.embed, ids
        self.raw: list[Tensor] = []

    def logits(self, contexts: Contexts) -> Tensor:
        return self.head.logits(contexts)

    def sample(self, contexts: Contexts, guided: bool, options: SamplingOptions, rng: Rng) -> Tensor:
        self.raw.append(self.logits(contexts))
        self.options = options
        return self.ids.pop(0)


@pytest.mark.parametrize("cached", [True, False])
@pytest.mark.parametrize("golden", CASES)
@torch.no_grad()
def test_drawing(golden: Golden, cached: bool) -> None:
    config, given = golden.config, golden.config["draft_steps"]
    quantizer, scales = quantizer_of(golden), len(config["patch_nums"])
    first, second = (filled(golden, part, quantizer) for part in ("drafter", "refiner"))
    drafted = [golden[f"in.draft.scale{scale}.idx"] for scale in range(given)]
    refined = [golden[f"in.refine.entry.idx{given}"]]
    refined += [golden[f"in.refine.scale{scale}.idx"] for scale in range(given + 1, scales)]
    first.head, second.head = Dictated(first.head, list(drafted)), Dictated(second.head, list(refined))
    decoder = Decoder(
        first,
        SamplingOptions(guidance=1 + config["cfg"]),
        guidance=with_steps,
        cached=cached,
        step=Handover(second, given),
    )
    labels = golden["in.labels"]
    tokens = decoder(labels, Replay())
    assert torch.equal(tokens, torch.cat(drafted + refined, dim=1))
    for scale, raw in enumerate(first.head.raw + second.head.raw):
        size = config["patch_nums"][scale] ** 2
        if scale < given:
            wanted, shares = golden[f"out.draft.scale{scale}.logits"], golden[f"out.draft.scale{scale}.probs"]
        else:
            entry = scale == given
            wanted = golden["out.refine.entry.logits" if entry else f"out.refine.scale{scale}.logits"]
            wanted, shares = wanted[:, -size:] if entry else wanted, golden[f"out.refine.scale{scale}.probs"]
        agree(raw, wanted[: len(raw)])  # the first scale is not guided, and without a cache has no second half
        options = SamplingOptions(top_k=config["top_k"][scale], top_p=config["top_p"])
        strength = 1 + config["cfg"] * scale / (scales - 1)
        guided = guide(raw, strength) if len(raw) == 2 * len(labels) else raw
        # The authors divide by the temperature after the cuts.
        agree((cut(guided, options) / config["temp"][scale]).softmax(-1), shares)
    sums = list(quantizer.sums(tokens))
    agree(sums[-1], golden["out.f_hat"])
    inputs = quantizer.scale_inputs(torch.cat(drafted, dim=1), given + 1)
    agree(inputs[:, config["patch_nums"][0] ** 2 :], golden["out.draft.tokens"])


@pytest.mark.parametrize("golden", CASES)
@torch.no_grad()
def test_a_model_that_hands_over_to_itself_draws_as_alone(golden: Golden) -> None:
    quantizer, labels = quantizer_of(golden), golden["in.labels"]
    alone = filled(golden, "drafter", quantizer)
    decoder = Decoder(alone, SamplingOptions(guidance=1 + golden.config["cfg"], top_k=9), guidance=with_steps)
    plain = decoder(labels, Rng(list(range(len(labels)))))
    for after in (0, 1, golden.config["draft_steps"], len(golden.config["patch_nums"])):
        shared = replace(decoder, step=Handover(alone, after))
        assert torch.equal(shared(labels, Rng(list(range(len(labels))))), plain)
