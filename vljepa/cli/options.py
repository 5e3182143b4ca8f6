"""Options that the verbs share, so that they read and mean the same everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

ModelOption = Annotated[
    str,
    typer.Option(
        "--model", help="A shipped preset, a folder of a saved model, a hub repository, or aligned: and a dual encoder."
    ),
]
ThresholdOption = Annotated[
    float | None,
    typer.Option("--threshold", min=0.0, help="Change between segments of a video; without it from validation."),
]
AgainOption = Annotated[bool, typer.Option("--again", help="Embed unchanged files, too.")]
DeviceOption = Annotated[
    str | None, typer.Option("--device", help="cpu, cuda, cuda:1 or mps; without it the GPU where there is one.")
]
DtypeOption = Annotated[
    str | None, typer.Option("--dtype", help="fp32, bf16 or fp16: precision of large models; without it fp32.")
]
BackendOption = Annotated[
    str,
    typer.Option(
        "--backend", help="torch; or onnx: onnxruntime runs the X-Encoder, on the CPU, with equal embeddings."
    ),
]
PathsFileOption = Annotated[
    str | None,
    typer.Option(
        "--paths-file", "-f", metavar="FILE", help="Paths from a file, a line or a NUL after each; - is a pipe."
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
TopKOption = Annotated[int, typer.Option("--top-k", "-k", min=1, help="How many candidates to list per image.")]
MinConfidenceOption = Annotated[
    float, typer.Option("--min-confidence", min=0.0, max=1.0, help="Abstain below this probability.")
]
LabelsFileOption = Annotated[
    Path | None,
    typer.Option(
        "--labels-file", metavar="FILE", help="Names to choose from, one in each line; commas are part of them."
    ),
]
ChoicesFileOption = Annotated[
    Path | None,
    typer.Option("--choices-file", metavar="FILE", help="Possible answers, one in each line; commas are part of them."),
]
NumBeamsOption = Annotated[
    int | None, typer.Option("--num-beams", min=1, help="Beams of the Y-Decoder; without it what validation chose.")
]
FramesOption = Annotated[
    int | None,
    typer.Option("--frames", min=2, help="Frames of a video; without it as many as the model was trained with."),
]
DecoderOption = Annotated[
    str | None, typer.Option("--decoder", help="Folder of a Y-Decoder to use instead of the model's own.")
]
AllowUrlsOption = Annotated[
    bool, typer.Option("--allow-urls", help="Images may be addresses of the public web, which are fetched.")
]
