"""What a Y-Decoder is and what a run that trains one is."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from vljepa.configs.lora import LoraConfig
from vljepa.configs.part import PartSpec, Strict
from vljepa.configs.residual import LabelPriorConfig, ResidualConfig
from vljepa.configs.run import CacheConfig, OptimConfig, SourceConfig, TrainConfig, check_names
from vljepa.configs.selective import SelectiveConfig


class GenerationConfig(Strict):
    """How words are chosen unless a caller says otherwise; the numbers come from validation.

    Args:
        num_beams: Beams; 1 is greedy.
        length_penalty: Exponent of the length that a beam's log-probability is divided by.
        repetition_penalty: Above 1, tokens that were said are less likely to be said again.
        max_new_tokens: Limit of a text, the end mark included.
    """

    num_beams: int = Field(1, ge=1)
    length_penalty: float = 1.0
    repetition_penalty: float = Field(1.0, ge=1)
    max_new_tokens: int = Field(32, ge=2)


class EntityConfig(Strict):
    """Names of what the encoder sees, which the Y-Decoder reads beside the embedding.

    Args:
        names: The classes of the X-Encoder's classifier, `imagenet-1k` or a text each; of a model without a classifier,
            the vocabulary of which the nearest to the prediction are taken.
        temperature: Of the softmax over the cosines, where names are found by nearness; None is the model's own, with
            which it classifies.
        count: Names per embedding, the most probable.
        max_pieces: Longer names are cut to so many tokens.
    """

    names: Literal["imagenet-1k"] | list[str] = "imagenet-1k"
    temperature: float | None = Field(None, gt=0)
    count: int = Field(3, ge=1)
    max_pieces: int = Field(5, ge=1)

    def of_classifier(self, residual: ResidualConfig | None) -> bool:
        """Whether the names are those of the classifier that a model's label prior reads, in its order."""
        return isinstance(residual, LabelPriorConfig) and residual.label_names == self.names

    @property
    def size(self) -> int:
        """Number of names."""
        return 1000 if self.names == "imagenet-1k" else len(self.names)


class AnswerChoiceConfig(Strict):
    """The same for open answers, whose candidates are the decoder's own and the nearest of kept texts.

    Args:
        texts: Answers that are common in training, such as yes, no and colours.
        nearest: So many of the nearest texts, and of the nearest phrases, are candidates; with 0 the decoder's own
            first answer is taken as it is.
        likelihood: Weight of the mean log-probability of a candidate's tokens, beside the cosine.
        phrase: Weight against phrases; below 0 for them.
        confidence: Logistic regression: intercept, and weights of cosine and log-probability; None where none was
            fitted.
    """

    texts: list[str] = Field(default_factory=list)
    nearest: int = Field(0, ge=0)
    likelihood: float = 0.0
    phrase: float = 0.0
    confidence: list[float] | None = Field(None, min_length=3, max_length=3)


class MemoryConfig(Strict):
    """Embeddings of training texts, onto which a predicted embedding is projected before it is read (DeCap).

    A mean of texts weighted by softmax(cosine / T) lies where texts lie, whatever lies between the modalities. It needs
    no images at all. Source: Li et al., DeCap, arXiv 2303.03032.

    Args:
        size: Texts that are kept, drawn from all.
        temperature: T; None is the model's own, with which it classifies.
    """

    size: int = Field(8192, ge=1)
    temperature: float | None = Field(None, gt=0)


class ChoiceConfig(Strict):
    """How one of several candidates is chosen, and how sure it is; the numbers come from validation.

    Args:
        candidates: Texts that are written with entities, and as many without.
        phrases: Phrases that are candidates too, the nearest.
        agreement: Weight of the cosine of the candidate's embedding and the predicted one.
        likelihood: Weight of the mean log-probability of its tokens.
        named: Weight of the probability, by the encoder, of what it names.
        wrong: Weight against nouns that the encoder finds improbable.
        phrase: Weight against phrases.
        confidence: Logistic regression: intercept, and weights of the four in that order; None where none was fitted.
        answer: The same for answers.
        fallback: Below this confidence the caption is the narrowest thing that is sure.
        sure: Probability from which on a thing is sure.
    """

    candidates: int = Field(1, ge=1)
    phrases: int = Field(0, ge=0)
    agreement: float = 1.0
    likelihood: float = 0.0
    named: float = 0.0
    wrong: float = 0.0
    phrase: float = 0.0
    confidence: list[float] | None = Field(None, min_length=5, max_length=5)
    answer: AnswerChoiceConfig = AnswerChoiceConfig()
    fallback: float = Field(0.0, ge=0, le=1)
    sure: float = Field(0.9, ge=0, le=1)


class YDecoderConfig(Strict):
    """A Y-Decoder: a small causal language model behind a few tokens that are made of the embedding.

    Args:
        part: The language model; `random` is one from scratch, with a sentencepiece vocabulary of its own.
        embed_dim: Width D of the embeddings that it reads; None is the model's.
        prefix_tokens: Tokens that the embedding becomes.
        entities: Names that it reads beside the embedding; None for none.
        memory: Texts onto which predictions are projected; None reads them as they are, less their mean gap.
        phrases: Number of short texts that it keeps as captions by themselves.
        drawings: Whether it keeps weights that tell drawings by what the X-Encoder's own classifier says.
        dropout: In a model from scratch.
        lora: Adapters of a pretrained model, without which only the prefix is trained; or of a decoder from scratch
            that a run starts from, without which all of it is.
        lowercase: Train on and write the normal form of texts: lower case, no closing punctuation.
        text_space: Hash of the text space that it was trained in; any other is refused.
        generation: Defaults of `generate`.
        choice: Among candidates.
        selective: Defaults of selective decoding.
    """

    part: PartSpec
    embed_dim: int | None = Field(None, ge=1)
    prefix_tokens: int = Field(4, ge=1)
    entities: EntityConfig | None = None
    memory: MemoryConfig | None = None
    phrases: int = Field(0, ge=0)
    drawings: bool = False
    dropout: float = Field(0.1, ge=0, lt=1)
    lora: LoraConfig | None = None
    lowercase: bool = True
    text_space: str = ""
    generation: GenerationConfig = GenerationConfig()
    choice: ChoiceConfig = ChoiceConfig()
    selective: SelectiveConfig = SelectiveConfig()


class DecoderSourceConfig(SourceConfig):
    """One source of texts: a .txt file with one text per line, or what `SourceConfig` reads.

    Args:
        see: What the decoder gets to see of a row. `text`: the embedding of the text itself, with noise. `estimate`:
            what the model would predict for an image that another text of the row describes (needs a `view` of text).
            `picture`: what the model predicts for the row's image and query.
    """

    see: Literal["text", "estimate", "picture"] = "text"


class DecoderDataConfig(Strict):
    """Where texts come from.

    Args:
        root: Folder that relative source paths start from; relative to the working directory.
        train: Training sources, mixed by weight.
        validation: Sources of images with captions, on whose predictions the readout is chosen.
        exclude: Sources whose images and texts must not be trained on, such as test sets: rows with one of their
            `source_id`, or one of their texts, are dropped and counted.
        phrases: Training sources whose rows' first texts are kept as captions by themselves, such as names of drawings.
        held_out: Share of the rows of each `see: text` source that is kept for the round trip.
        noise: Standard deviation per dimension of the noise on `text` embeddings; `gap` measures it: that of the
            validation predictions around their texts, or, without such images, that of a noise of length 1.
        cache: Feature cache of the frozen encoders.
        max_skipped: As of the training of a model: of images and of rows, each for itself.
    """

    root: str = "."
    train: list[DecoderSourceConfig] = Field(min_length=1)
    validation: list[SourceConfig] = Field(default_factory=list)
    exclude: list[SourceConfig] = Field(default_factory=list)
    phrases: list[str] = Field(default_factory=list)
    held_out: float = Field(0.02, gt=0, lt=1)
    noise: float | Literal["gap"] = "gap"
    cache: CacheConfig = CacheConfig()
    max_skipped: float = Field(0.01, ge=0, le=1)

    @model_validator(mode="after")
    def _names_differ(self) -> DecoderDataConfig:
        for sources in (self.train, self.validation):
            check_names(sources)
        unknown = sorted(set(self.phrases) - {source.name for source in self.train})
        if unknown:
            raise ValueError(f"data.phrases names no training source: {', '.join(unknown)}")
        return self


class DecoderRunConfig(Strict):
    """A recipe of `vljepa train-decoder`.

    Args:
        model: The trained model whose text space the decoder reads: "mini", a folder, or a hub repository.
        decoder: What is trained.
        start: A trained decoder of that very architecture, whose weights and vocabulary are gone on from: its folder,
            or a model that has one, such as "mini".
        vocabulary: Size of the sentencepiece vocabulary of a decoder from scratch.
        beams: Numbers of beams that are tried on the validation images at the end; 1 is greedy.
        data: Texts.
        optim: Optimizer.
        train: The loop; `best_metric` is `loss` (held-out, lower is better) or a validation source's `NAME/cider`.
    """

    model: str
    decoder: YDecoderConfig
    start: str | None = None
    vocabulary: int = Field(4000, ge=64)
    beams: list[int] = Field(default_factory=lambda: [1, 4], min_length=1)
    data: DecoderDataConfig
    optim: OptimConfig = OptimConfig()
    train: TrainConfig = TrainConfig()

    @model_validator(mode="after")
    def _adapts_something(self) -> DecoderRunConfig:
        if self.decoder.lora is not None and self.decoder.part.source == "random" and self.start is None:
            raise ValueError("decoder.lora adapts a trained decoder: name it with `start`, such as start=mini")
        if self.decoder.lora is not None and self.decoder.lora.four_bit and self.decoder.part.source == "random":
            raise ValueError("decoder.lora.four_bit is for pretrained language models: leave it out")
        return self

    @model_validator(mode="after")
    def _of_a_decoder(self) -> DecoderRunConfig:
        for key in ("gradient_checkpointing", "compile", "length_buckets", "epochs"):
            if getattr(self.train, key) != TrainConfig.model_fields[key].default:
                raise ValueError(f"train.{key} is for the training of a model, not of a Y-Decoder: remove it")
        return self
