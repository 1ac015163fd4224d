"""Language models that others trained, from a local folder of the `transformers` library: Qwen2, Qwen3, Llama, SmolLM
and what else is causal and leaves positions and masks to its caller.

    language = HuggingFaceLanguage.read(Path("Qwen2.5-0.5B"))
    hidden = language(vectors, places, visible)              whoever sees whom, wherever each stands

`limner.languages.language.visibility` goes in as a mask of four axes, which the library hands to its attention as it
is, so that a picture sees itself both ways. Vectors go in and come out in fp32, whatever the weights are. Nothing is
downloaded, and no code that lies in a folder is run.
"""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from limner.errors import InputError
from limner.languages.language import Vectors
from limner.nn import pretrained_folder
from limner.nn.pretrained_folder import described, library

KIND = "causal language model"
PROBED = 3  # ids by which a model is compared with the library's own call


class TransformersCache:
    """The library's own cache, which grows with every position; a `limner.nn.cache.Rewindable`."""

    lead = 0

    def __init__(self, states: Any) -> None:
        self.states = states

    def length(self, layer: int) -> int:
        """Positions that a layer holds."""
        return int(self.states.get_seq_length(layer))

    def keep(self, positions: int | Int[Tensor, "b kept"]) -> None:
        """Forget all positions but the first so many; raises `InputError` for single ones."""
        if not isinstance(positions, int):
            raise InputError("a cache of transformers cannot forget single positions: keep a number of them")
        self.states.crop(positions)


class HuggingFaceLanguage(nn.Module):
    """A `limner.languages.language.LanguageModel` around a causal model of `transformers`.

    Args:
        model: with its head; attention must be ``sdpa``, the only one that takes masks of true and false.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model: Any
        self.model = model
        self.width: int = self.model.config.hidden_size
        self.length: int = self.model.config.max_position_embeddings
        names = {module: name for name, module in self.named_modules()}
        table, head = self.model.get_input_embeddings(), self.model.get_output_embeddings()
        accepted = inspect.signature(self.model.base_model.forward).parameters
        self.cache_name = "cache" if "cache" in accepted else "past_key_values"  # its name changed in transformers 5.24
        self.tied = (f"{names[head]}.weight", f"{names[table]}.weight") if head.weight is table.weight else None
        self.register_state_dict_post_hook(_saved_once)
        self.register_load_state_dict_pre_hook(_read_twice)

    @classmethod
    def read(cls, folder: Path, *, dtype: torch.dtype = torch.float32) -> HuggingFaceLanguage:
        """The model of a folder with its weights in ``dtype``, but the table of words in fp32: connectors mix its rows.

        Raises InputError if `transformers` is not installed, if the folder holds no causal language model, or not all
        of its weights and no others, or one that does more than blocks, a norm and a linear head: sliding windows,
        capped logits.
        """
        model = pretrained_folder.model(
            library().AutoModelForCausalLM, folder, KIND, dtype=dtype, attn_implementation="sdpa"
        )
        language = cls._sound(model, folder)
        model.get_input_embeddings().float()
        return language

    @classmethod
    def shaped(cls, folder: Path) -> HuggingFaceLanguage:
        """The model that a folder describes, with random weights; errors as those of `read`, but for weights."""
        model = described(library().AutoModelForCausalLM, folder, KIND, attn_implementation="sdpa")
        return cls._sound(model.float(), folder)

    @classmethod
    @torch.no_grad()
    def _sound(cls, model: Any, folder: Path) -> HuggingFaceLanguage:
        """The model, if it says by these means what it says by the library's own call."""
        if "sliding_attention" in (getattr(model.config, "layer_types", None) or ()):
            raise InputError(f"{folder} looks back through a sliding window: give a model of full attention")
        language = cls(model.eval())
        ids = torch.arange(PROBED)[None]
        wanted = model(ids).logits.float()
        hidden = language(language.embed(ids), ids, torch.ones(1, PROBED, PROBED, dtype=torch.bool).tril())
        if not torch.allclose(language.logits(hidden).float(), wanted, rtol=0.02, atol=0.02 * float(wanted.std())):
            kind = model.config.model_type
            raise InputError(
                f"{folder} holds a {kind}, whose logits are no linear head of its last states: use a Llama"
            )
        return language

    @property
    def words(self) -> Float[Tensor, "v d"]:
        """The table, live."""
        return self.model.get_input_embeddings().weight

    def embed(self, ids: Int[Tensor, "b n"]) -> Vectors:
        """Rows of the table."""
        return self.model.get_input_embeddings()(ids)

    def forward(
        self,
        x: Vectors,
        places: Int[Tensor, "b n"],
        visible: Bool[Tensor, "b n total"],
        cache: TransformersCache | None = None,
    ) -> Vectors:
        """Last hidden states; raises `InputError` for places beyond ``length``."""
        if int(places.max()) >= self.length:
            raise InputError(f"a text of {int(places.max()) + 1} tokens is longer than this model's {self.length}")
        blocks = (weight.dtype for weight in self.model.base_model.parameters() if weight is not self.words)
        seen = self.model.base_model(
            inputs_embeds=x.to(next(blocks)),
            attention_mask=visible[:, None],
            position_ids=places,
            use_cache=cache is not None,
            **{self.cache_name: None if cache is None else cache.states},
        )
        return seen.last_hidden_state.float()

    def logits(self, hidden: Vectors) -> Float[Tensor, "b n v"]:
        """What the head makes of hidden states."""
        head = self.model.get_output_embeddings()
        return head(hidden.to(head.weight.dtype))

    def cache(self, length: int) -> TransformersCache:
        """Room for ``length`` tokens; raises `InputError` if the model reads fewer."""
        if length > self.length:
            raise InputError(f"{length} tokens are more than this model's {self.length}: ask for less")
        return TransformersCache(library().DynamicCache(config=self.model.config))


def _saved_once(module: HuggingFaceLanguage, state: dict[str, Any], prefix: str, _: Any) -> None:
    """A head that is the table is no weight of its own."""
    if module.tied is not None:
        del state[prefix + module.tied[0]]


def _read_twice(module: HuggingFaceLanguage, state: dict[str, Any], prefix: str, *_: Any) -> None:
    if module.tied is not None and prefix + module.tied[1] in state:
        state[prefix + module.tied[0]] = state[prefix + module.tied[1]]
