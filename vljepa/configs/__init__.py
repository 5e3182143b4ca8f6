"""What a model is and what a run is: pydantic models that refuse what they do not know.

`part` is the grammar of pretrained parts, `model` the model's own config, `run` the recipe of a training run, and
`presets/` the named models (`toy`, `mini`, `base`, `base-open`).
"""

from vljepa.configs.answers import AnswerPriorConfig
from vljepa.configs.decoder import (
    AnswerChoiceConfig,
    ChoiceConfig,
    DecoderDataConfig,
    DecoderRunConfig,
    DecoderSourceConfig,
    EntityConfig,
    GenerationConfig,
    YDecoderConfig,
)
from vljepa.configs.eb_jepa import EBJEPAConfig
from vljepa.configs.live import LiveOptions
from vljepa.configs.llm_jepa import LLMJEPAConfig
from vljepa.configs.loading import (
    is_decoder_recipe,
    load_decoder_run_config,
    load_preset,
    load_run_config,
    parse_overrides,
    preset_names,
    validate,
)
from vljepa.configs.lora import AdaptersConfig, LoraConfig
from vljepa.configs.model import (
    CALIBRATED_AT,
    Attention,
    CalibrationConfig,
    ClipsConfig,
    DenseConfig,
    ImageConfig,
    PairConfig,
    PredictorConfig,
    PromptsConfig,
    VLJEPAConfig,
    XEncoderConfig,
    YEncoderConfig,
)
from vljepa.configs.objective import ObjectiveConfig
from vljepa.configs.open_set import OpenSetConfig
from vljepa.configs.part import PartSpec, Strict
from vljepa.configs.residual import AlignedConfig, LabelPriorConfig, ResidualConfig, SideConfig
from vljepa.configs.run import (
    CacheConfig,
    ColumnsConfig,
    DataConfig,
    OptimConfig,
    ReplayConfig,
    RunConfig,
    SourceConfig,
    TrainConfig,
)
from vljepa.configs.selective import SelectiveConfig
from vljepa.configs.stages import is_staged_recipe, load_stages
from vljepa.configs.v_jepa import VJEPAConfig
from vljepa.configs.v_jepa2_ac import VJEPA2ACConfig
from vljepa.configs.views import ClipView, PictureView, StillView, TextView, View

__all__ = [
    "CALIBRATED_AT",
    "AdaptersConfig",
    "AlignedConfig",
    "AnswerChoiceConfig",
    "AnswerPriorConfig",
    "Attention",
    "CacheConfig",
    "CalibrationConfig",
    "ChoiceConfig",
    "ClipView",
    "ClipsConfig",
    "ColumnsConfig",
    "DataConfig",
    "DecoderDataConfig",
    "DecoderRunConfig",
    "DecoderSourceConfig",
    "DenseConfig",
    "EBJEPAConfig",
    "EntityConfig",
    "GenerationConfig",
    "ImageConfig",
    "LLMJEPAConfig",
    "LabelPriorConfig",
    "LiveOptions",
    "LoraConfig",
    "ObjectiveConfig",
    "OpenSetConfig",
    "OptimConfig",
    "PairConfig",
    "PartSpec",
    "PictureView",
    "PredictorConfig",
    "PromptsConfig",
    "ReplayConfig",
    "ResidualConfig",
    "RunConfig",
    "SelectiveConfig",
    "SideConfig",
    "SourceConfig",
    "StillView",
    "Strict",
    "TextView",
    "TrainConfig",
    "VJEPA2ACConfig",
    "VJEPAConfig",
    "VLJEPAConfig",
    "View",
    "XEncoderConfig",
    "YDecoderConfig",
    "YEncoderConfig",
    "is_decoder_recipe",
    "is_staged_recipe",
    "load_decoder_run_config",
    "load_preset",
    "load_run_config",
    "load_stages",
    "parse_overrides",
    "preset_names",
    "validate",
]
