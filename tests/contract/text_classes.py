"""Small random configs of the very text classes that the hub models are made of."""

from __future__ import annotations

from typing import Any

import transformers as tf

_SIZES = {
    "hidden_size": 32, "num_hidden_layers": 4, "num_attention_heads": 2, "intermediate_size": 64, "vocab_size": 64,
    "max_position_embeddings": 64,
}  # fmt: skip
_DECODER = {**_SIZES, "num_key_value_heads": 1, "head_dim": 16, "pad_token_id": 0}


BIDIRECTIONAL = ("minilm", "roberta", "xlm-roberta", "mpnet", "embeddinggemma")
"""Classes whose own attention is bidirectional."""


def text_layers(model: Any) -> Any:
    """The stack of layers, whatever its class calls it."""
    inner = getattr(model, "encoder", model)
    return next(getattr(inner, name) for name in ("layer", "layers", "h") if hasattr(inner, name))


def text_models() -> dict[str, tuple[Any, dict[str, Any]]]:
    """Name -> (class, the config dict that its checkpoint folder would hold)."""
    gemma = tf.Gemma3TextConfig(**_DECODER, use_bidirectional_attention=True, sliding_window=8)
    roberta = {**_SIZES, "pad_token_id": 1, "max_position_embeddings": 66}  # two rows before the first token's
    return {
        "minilm": (tf.BertModel, tf.BertConfig(**_SIZES).to_dict()),
        "roberta": (tf.RobertaModel, tf.RobertaConfig(**roberta).to_dict()),
        "xlm-roberta": (tf.XLMRobertaModel, tf.XLMRobertaConfig(**roberta).to_dict()),
        "mpnet": (tf.MPNetModel, tf.MPNetConfig(**roberta).to_dict()),
        "gpt2": (tf.GPT2Model, tf.GPT2Config(n_embd=32, n_layer=4, n_head=2, n_positions=64, vocab_size=64).to_dict()),
        "gemma": (tf.GemmaModel, tf.GemmaConfig(**_DECODER).to_dict()),
        "llama": (tf.LlamaModel, tf.LlamaConfig(**_DECODER).to_dict()),
        "qwen3": (tf.Qwen3Model, tf.Qwen3Config(**_DECODER).to_dict()),
        "embeddinggemma": (tf.Gemma3TextModel, gemma.to_dict()),
    }
