"""Folders as `transformers` writes them: tiny random models of the real classes, and tokenizers of a few words."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

TEXTS = (
    "What colour is the star?",
    "How many things are there? one two three",
    "Is it red? yes no green blue. Describe the picture.",
    "The picture shows a red star left of two blue hearts.",
)
SIZES = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
}


def write_tokenizer(folder: Path) -> int:
    """A byte-level tokenizer such as Qwen's, with roles; the number of its subwords."""
    import tokenizers
    from tokenizers import decoders, models, pre_tokenizers, trainers

    made = tokenizers.Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=330, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    made.train_from_iterator(TEXTS * 3, trainer)
    folder.mkdir(parents=True, exist_ok=True)
    made.save(str(folder / "tokenizer.json"))
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": special[0], "pad_token": special[0]}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return made.get_vocab_size()


def write_language(folder: Path, kind: str = "Qwen2", **options: Any) -> Path:
    """A causal language model with its tokenizer; its table has a few rows more than there are subwords, as Qwen's."""
    import transformers

    count = write_tokenizer(folder)
    special = {"bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0}
    head = {"head_dim": 8} if kind == "Qwen3" else {}
    sizes = {**SIZES, **special, **head, **options}
    config = getattr(transformers, f"{kind}Config")(vocab_size=count + 6, **sizes)
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(config)
    roughen(model)
    model.save_pretrained(folder)
    return folder


def write_encoder(folder: Path, *, size: int = 32) -> Path:
    """A SigLIP with both towers."""
    import transformers

    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    tower = transformers.SiglipVisionConfig(**sizes, image_size=size, patch_size=8)
    text = transformers.SiglipTextConfig(**sizes, vocab_size=50, bos_token_id=0, eos_token_id=0)
    torch.manual_seed(1)
    model = transformers.SiglipModel(
        transformers.SiglipConfig(text_config=text.to_dict(), vision_config=tower.to_dict())
    )
    roughen(model)
    model.save_pretrained(folder)
    pixels = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    (folder / "preprocessor_config.json").write_text(json.dumps(pixels))
    return folder


@torch.no_grad()
def roughen(model: torch.nn.Module) -> None:
    """Real models have norms and biases that are not 1 and 0."""
    for index, weight in enumerate(model.parameters()):
        weight.add_(0.1 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(index)))


def teach(folder: Path, texts: Sequence[str], steps: int = 100) -> None:
    """Let the language model of a folder learn texts by heart, each with its end."""
    import transformers

    words = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder).train()
    rows = [torch.tensor([*words.encode(text), words.eos_token_id]) for text in texts]
    ids = torch.nn.utils.rnn.pad_sequence(rows, True, -100)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(steps):
        loss = model(ids.clamp_min(0), labels=ids).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.save_pretrained(folder)
