"""What a training run is: the recipe's sections beside the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import Field, SerializeAsAny, ValidationInfo, field_validator, model_validator

from vljepa.configs.lora import AdaptersConfig
from vljepa.configs.methods import MODEL_CONFIGS
from vljepa.configs.model import ClipsConfig
from vljepa.configs.objective import ObjectiveConfig
from vljepa.configs.part import ALIGNED, Strict
from vljepa.configs.views import ClipView, PictureView, StillView, View

REPLAY = "replay"
"""Name and group of what is replayed."""


class ColumnsConfig(Strict):
    """Which column of a source is what. A missing optional column is simply absent.

    Args:
        image: Path of the image, relative to the source's root.
        video: Path of the video, in a source whose `view` is a clip.
        start: Optional start of the clip in seconds; that of the video when absent or empty.
        end: Optional end of the clip in seconds; that of the video when absent or empty.
        backwards: Optional; true runs the clip backwards, which a question about order has to tell apart.
        text: Target text, or a list of texts of which one is drawn per visit.
        query: Optional question; absent or empty means query-free.
        source_id: Optional identity of the image; the path when absent (of a clip, with its times).
        candidates: Optional list of answers, for validation by accuracy.
        type: Optional question type, for accuracy per type.
    """

    image: str = "image"
    video: str = "video"
    start: str = "start"
    end: str = "end"
    backwards: str = "backwards"
    text: str = "text"
    query: str = "query"
    source_id: str = "source_id"
    candidates: str = "candidates"
    type: str = "type"


class SourceConfig(Strict):
    """One source of training or validation samples.

    Args:
        name: What logs and metrics call it.
        path: CSV, TSV, JSONL or Parquet file with one row per sample; JSON of COCO captions, Karpathy's splits, VQA
            questions or LLaVA conversations; Flickr's token file; a folder with a `captions` or `metadata` file or with
            one other such file, with numbered parts of one, with images and a .txt beside each, with a folder of
            images per class, with tars (WebDataset), or of a saved dataset; a tar; a pattern of parts, such as
            `data/train-*.parquet`; or `hf:NAME:SPLIT`, which is downloaded whole. In
            `data.train` also the address of shards that are too many to keep, `https://host/train-{000..123}.tar`
            (or `.parquet`): they are fetched one after the other, and a run that goes on fetches the shard in hand
            again. What can be read only once, such as `pipe:`, is refused. `vljepa data check` says what it makes
            of one.
        split: Which split to read, where there are several: of parts, of folders, of Karpathy's JSON, of a dataset, or
            by a column `split`. By default that for training, and all rows of a table with such a column.
        root: Folder that image paths are relative to and may not leave; the file's own folder when absent.
        columns: Column mapping.
        weight: Share of each training batch, relative to the other sources.
        group: Sources of one group are each other's negatives; the loss is the mean over groups.
        views: Stored views per image; `data.cache.views` when absent. Questions about places or small things want 1.
        first_text: Share of visits that take a row's first text; the others draw from all its texts.
        gate_only: Train only the gate of the label prior's residual: for images so few that they would be learned
            by heart (needs a `label_prior` with `residual`).
        view: What is seen of a row: `picture`; `{name: clip, frames: 8}` of a video; `{name: still, frames: 8}`, an
            image as a clip in which nothing moves; or `{name: text, like: SOURCE}`, where a text stands for it.
            Sources of one group need views of equally many frames, and an image counts as one.
        task: How validation measures it: retrieval both ways, or accuracy over `candidates`.
        candidates: Answers that all rows choose from, unless a row has its own: a list, or a file with one per line,
            relative to the data's `root`.
    """

    name: str
    path: str
    split: str | None = None
    root: str | None = None
    columns: ColumnsConfig = ColumnsConfig()
    weight: float = Field(1.0, gt=0)
    group: str = "all"
    views: int | None = Field(None, ge=1)
    first_text: float = Field(0.0, ge=0, le=1)
    gate_only: bool = False
    view: View = PictureView()
    task: Literal["retrieval", "vqa"] = "retrieval"
    candidates: list[str] | str | None = None

    @property
    def frames(self) -> int:
        """Frames that are seen of a row; 1 of an image, and of a text that stands for one."""
        return self.view.frames if isinstance(self.view, ClipView | StillView) else 1

    @field_validator("candidates")
    @classmethod
    def _candidates_differ(cls, candidates: list[str] | str | None) -> list[str] | str | None:
        if isinstance(candidates, list) and (len(set(candidates)) < len(candidates) or not all(candidates)):
            raise ValueError("candidates are empty or repeated; a tie would count as wrong: list each one once")
        return candidates


class ReplayConfig(Strict):
    """Images that teach nothing new: on them predictions stay what the start predicted (`objective.distillation`).

    Images of any kind, the more like what is to be kept the better. Texts are not read.

    Args:
        path: A folder, of which all images below are taken; a table with a column of images, as of a source; or
            `mini:replay`, 595 small images of mini's own training, which it brings along.
        root: Folder that a table's paths are relative to and may not leave; the table's own folder when absent.
        column: Of the images, in a table.
        views: Stored views per image; `data.cache.views` when absent, and one without a cache.
        share: Images in each step, as a share of `train.batch_size`, to which they come in addition.
    """

    path: str
    root: str | None = None
    column: str = "image"
    views: int | None = Field(None, ge=1)
    share: float = Field(1.0, gt=0)

    def as_source(self, *, weight: float = 1.0, cached: bool = False) -> SourceConfig:
        """The source that it is beside others of this weight together."""
        return SourceConfig(
            name=REPLAY,
            path=self.path,
            root=self.root,
            columns=ColumnsConfig(image=self.column),
            weight=weight * self.share,
            group=REPLAY,
            views=self.views if cached else None,
        )


class CacheConfig(Strict):
    """Feature cache of the frozen X-Encoder. A cache implies no augmentation beyond its stored views.

    Args:
        folder: Where the Arrow files live.
        views: Views per training image: the plain one and `views - 1` seeded augmented ones.
        seed: Seed of the augmented views.
        min_scale: Smallest area share of a random resized crop.
        flip: Mirror half of the augmented views.
    """

    folder: str = "cache/features"
    views: int = Field(1, ge=1)
    seed: int = 0
    min_scale: float = Field(0.4, gt=0, le=1)
    flip: bool = True


def check_names(sources: Sequence[SourceConfig]) -> None:
    """Refuse sources of one name: each is measured under its name, and one would hide the other.

    Raises:
        ValueError: Naming it.
    """
    names = [source.name for source in sources]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ValueError(f"two sources are called {twice!r}, and logs and metrics go by the name: rename one")


class DataConfig(Strict):
    """Where samples come from.

    Args:
        root: Folder that relative source paths start from; relative to the working directory.
        train: Training sources, mixed by weight.
        replay: Images on which nothing is to change.
        validation: Validation sources, measured each by its own task.
        cache: Feature cache; None runs the X-Encoder in every step.
        max_skipped: Share that is tolerated before the run stops, of images that cannot be read and of rows without a
            usable text, each for itself. One of each is tolerated however few there are, unless it is 0.
        workers: Loader processes for sources without a cache.
        shards: Folder for the shards in hand of sources behind an address, in a folder of its own for every run and
            source. To be kept as long as the run may go on: without the numbers of rows in it, all shards before the
            one in hand are fetched and counted again.
    """

    root: str = "."
    train: list[SourceConfig] = Field(min_length=1)
    replay: ReplayConfig | None = None
    validation: list[SourceConfig] = Field(default_factory=list)
    cache: CacheConfig | None = CacheConfig()
    max_skipped: float = Field(0.01, ge=0, le=1)
    workers: int = Field(0, ge=0)
    shards: str = "cache/shards"

    @model_validator(mode="after")
    def _names_differ(self) -> DataConfig:
        for sources in (self.train, self.validation):
            check_names(sources)
        if self.replay is not None and any(REPLAY in (one.name, one.group) for one in self.train):
            raise ValueError(f"data.replay has the name and the group {REPLAY!r}: rename those of the source")
        return self

    @property
    def seen(self) -> list[SourceConfig]:
        """All that a step has samples of: the training sources, and what is replayed."""
        weight = sum(source.weight for source in self.train)
        if self.replay is None:
            return list(self.train)
        return [*self.train, self.replay.as_source(weight=weight, cached=self.cache is not None)]


class OptimConfig(Strict):
    """AdamW and its schedule.

    Args:
        lr: Peak learning rate of Predictor and heads.
        y_encoder_lr_scale: Factor for the Y-Encoder's own weights (the paper: 0.05).
        weight_decay: On matrices; never on norms, biases and the temperature.
        weight_decay_end: Weight decay of the last step, to which it goes by a cosine (V-JEPA: from 0.04 to 0.4); None
            keeps it constant.
        betas: AdamW's.
        warmup_steps: Linear warm-up.
        schedule: After the warm-up.
        grad_clip: Global norm; 0 turns it off.
        fused: One kernel for AdamW's whole step; None where the parameters are on a GPU.
    """

    lr: float = Field(3e-4, gt=0)
    y_encoder_lr_scale: float = Field(0.05, ge=0)
    weight_decay: float = Field(0.05, ge=0)
    weight_decay_end: float | None = Field(None, ge=0)
    betas: tuple[float, float] = (0.9, 0.98)
    warmup_steps: int = Field(100, ge=0)
    schedule: Literal["cosine", "constant"] = "cosine"
    grad_clip: float = Field(1.0, ge=0)
    fused: bool | None = None


class TrainConfig(Strict):
    """The loop.

    Args:
        output: Folder of checkpoints, logs and plots.
        steps: Optimizer steps; None for as many as `epochs` come to, or 1,000 without these. Wins over `epochs`.
        epochs: Visits to each training row, on average over the rows of all sources: steps for any amount of data.
        patience: Validations in a row without a better `best_metric` after which the run ends; None goes on to the last
            step.
        batch_size: Global batch; every sample sees all others as negatives.
        seed: Of initialisation, order and augmentation.
        ema: Decay per step of the moving average of the weights that is validated, saved as `best` and shipped; 0 for
            none. Early steps average over fewer.
        precision: `auto` is bf16 where the hardware computes it quickly, else fp32. Master weights are always fp32.
        gradient_checkpointing: Keep only the inputs of the transformers' layers and compute them again on the way back:
            the same numbers, dropout included, in less memory and more time.
        compile: Let torch compile the transformers that are trained: the same up to rounding, quicker after a wait. On
            a CPU that is a minute or two of generating C++.
        length_buckets: Embed the samples of a step in at least this many pieces, sorted by the length of query and
            target and each padded to its own longest. All stay each other's negatives: the same up to rounding (but
            for the draws of dropout), quicker where lengths differ, texts are not cached and batches are large.
        log_every: Steps between log lines.
        eval_every: Steps between validations, each of which is followed by a checkpoint.
        save_every: Steps between further checkpoints; None for none.
        spike: A loss this many deviations above its moving mean, 20 steps in a row, ends the run; None lets it go on.
        trackers: Where the log goes besides `log.jsonl` in the output: TensorBoard's files in it, or trackio.
        best_metric: Validation metric that chooses `best`; `mean` is the mean of all sources' main metrics.
        resume: `auto` goes on from the newest checkpoint in `output`, `never` refuses an output that has one.
    """

    output: str = "runs/default"
    steps: int | None = Field(None, ge=1)
    epochs: float | None = Field(None, gt=0)
    patience: int | None = Field(None, ge=1)
    batch_size: int = Field(256, ge=2)
    seed: int = 0
    ema: float = Field(0.0, ge=0, lt=1)
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    gradient_checkpointing: bool = False
    compile: bool = False
    length_buckets: int = Field(1, ge=1)
    log_every: int = Field(10, ge=1)
    eval_every: int = Field(200, ge=1)
    save_every: int | None = Field(None, ge=1)
    spike: float | None = Field(10.0, gt=0)
    trackers: list[Literal["tensorboard", "trackio"]] = Field(default_factory=list)
    best_metric: str = "mean"
    resume: Literal["auto", "never"] = "auto"


class RunConfig(Strict):
    """A recipe: a model, its data, its objective, its optimiser and its loop.

    In YAML, `model` may be a preset's name, or a mapping whose `preset` key names the preset that it changes.

    Args:
        method: What is predicted from what.
        model: A model to be trained from its pretrained parts; of `vl_jepa`, a `VLJEPAConfig`.
        start: Instead of `model`: a trained model to go on from, "mini", a folder, or a hub repository.
        clips: Give the Predictor of the model in `start` a sense of time, `predictor.clips`: it begins as if without.
        lora: Train adapters of the model in `start` instead of all of its own weights.
        data: Where samples come from.
        objective: What is minimised.
        optim: Optimizer.
        train: The loop.
    """

    method: str = "vl_jepa"
    model: SerializeAsAny[Strict] | None = None
    start: str | None = None
    clips: ClipsConfig | None = None
    lora: AdaptersConfig | None = None
    data: DataConfig
    objective: ObjectiveConfig = ObjectiveConfig()
    optim: OptimConfig = OptimConfig()
    train: TrainConfig = TrainConfig()

    @field_validator("method")
    @classmethod
    def _is_known(cls, value: str) -> str:
        if value not in MODEL_CONFIGS:
            raise ValueError(f"there is no such method: use one of {', '.join(MODEL_CONFIGS)}")
        return value

    @field_validator("model", mode="before")
    @classmethod
    def _of_the_method(cls, value: Any, info: ValidationInfo) -> Any:
        config = MODEL_CONFIGS.get(info.data.get("method", ""))
        return config.model_validate(value) if config is not None and isinstance(value, Mapping) else value

    @model_validator(mode="after")
    def _one_beginning(self) -> RunConfig:
        if self.start is None and self.model is None:
            raise ValueError("a run needs `model`, or `start` to go on from a trained one: add one of them")
        if self.lora is not None and self.start is None:
            raise ValueError("lora adapts a trained model: name it with `start`")
        if self.lora is not None and str(self.start).startswith(ALIGNED):
            raise ValueError(
                "adapters belong to a folder: make `start` one with `vljepa new NAME --from ... -o FOLDER`"
            )
        if self.clips is not None and self.start is None:
            raise ValueError("clips is for the model in `start`: set model.predictor.clips of a new one")
        if self.clips is not None and self.lora is not None:
            raise ValueError("clips adds weights of the model's own, and lora trains none of these: drop one of them")
        return self
