"""The grammar of part names: which library builds a part, and where its weights come from."""

from __future__ import annotations

import re
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, field_validator, model_validator

_SHORTHAND = re.compile(
    r"^(?P<backend>[a-z_]+):(?P<name>[^@#\s]+)(@(?P<revision>[^@#\s]+))?(#(?P<first>\d+):(?P<last>\d+))?$"
)


ALIGNED = "aligned:"
"""Before the name of a dual encoder that is a model by itself."""

BACKENDS = ["transformers", "open_clip", "timm", "v_jepa"]
"""Names of the libraries of models; `vljepa.backends.register` adds one."""


class Strict(BaseModel):
    """A config section: an unknown key is an error, and so is a wrong type set later."""

    model_config = ConfigDict(extra="forbid", validate_assignment=True)

    def stated(self) -> dict[str, Any]:
        """What says more than a default or nothing does, as plain data: what digests are taken of.

        A key that a later version adds with a neutral default changes no digest, and so makes no index, decoder or
        adapter foreign. Of a part, its weights' hash counts, not the commit and the config that lead to them.
        """
        return _without_empty(self.model_dump(mode="json", exclude_defaults=True))


def _without_empty(value: dict[str, Any]) -> dict[str, Any]:
    late = {"config", "revision"} if "backend" in value else set()
    kept = {name: _without_empty(one) if isinstance(one, dict) else one for name, one in value.items()}
    return {name: one for name, one in kept.items() if name not in late and one not in (None, "", [], {})}


class PartSpec(Strict):
    """A pretrained part by reference: the backend that builds it and the place of its weights.

    The shorthand `backend:name[@revision][#first:last]` is accepted wherever a mapping is. The name says the source:
    `asset/NAME` is a file of the asset manifest, a path that starts with `.`, `/` or `~` is a folder, anything else
    is a repository on the Hugging Face hub.

    Args:
        backend: The library that builds the part, one of BACKENDS.
        name: Repository id, folder, asset name, or architecture name (open_clip and timm).
        source: Where the weights come from; `random` has none and needs `config`.
        revision: Branch, tag or commit of a hub repository.
        layers: Half-open range of transformer layers to keep, as in the paper's last eight of sixteen, `(8, 16)`.
        config: The architecture, as the backend's own config dict. Required for `random`; for the other sources it
            is filled in when the part is first resolved, so that a saved model can be rebuilt without the hub.
        seed: Seed of the weights of a `random` part.
        sha256: Hash of the weights that the part was first loaded with; a different one is refused later.

    Example:
        >>> PartSpec.model_validate("transformers:meta-llama/Llama-3.2-1B#8:16").layers
        (8, 16)
        >>> PartSpec.model_validate("timm:asset/efficientnet-lite0").source
        'asset'
    """

    backend: str
    name: str
    source: Literal["hub", "folder", "asset", "random"] = "hub"
    revision: str | None = None
    layers: tuple[int, int] | None = None
    config: dict[str, Any] | None = None
    seed: int = 0
    sha256: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _from_shorthand(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        match = _SHORTHAND.match(value)
        if match is None:
            raise ValueError(
                f"{value!r} is not a part name; write 'backend:name[@revision][#first:last]', "
                "for example 'transformers:google/siglip2-base-patch16-224'"
            )
        name = match["name"]
        source = "hub"
        if name.startswith("asset/"):
            source, name = "asset", name.removeprefix("asset/")
        elif name[0] in "./~":
            source = "folder"
        layers = (int(match["first"]), int(match["last"])) if match["first"] else None
        return {
            "backend": match["backend"],
            "name": name,
            "source": source,
            "revision": match["revision"],
            "layers": layers,
        }

    @field_validator("backend")
    @classmethod
    def _is_known(cls, value: str) -> str:
        if value not in BACKENDS:
            raise ValueError(f"{value!r} is no library of models; choose among {', '.join(BACKENDS)}")
        return value

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        if self.source == "random" and self.config is None:
            raise ValueError(f"the random part {self.name!r} needs `config`, the backend's own architecture config")
        if self.layers is not None and not 0 <= self.layers[0] < self.layers[1]:
            raise ValueError(f"layers {self.layers} is not a range; write '#first:last' with first < last")
        return self

    def __str__(self) -> str:
        """Shorthand of the part, as a person would write it."""
        name = f"asset/{self.name}" if self.source == "asset" else self.name
        revision = f"@{self.revision}" if self.revision else ""
        layers = f"#{self.layers[0]}:{self.layers[1]}" if self.layers else ""
        return f"{self.backend}:{name}{revision}{layers}"
