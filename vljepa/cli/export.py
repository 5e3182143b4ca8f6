"""`vljepa export`: a trained model as a folder of its own, for vljepa or for another program."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vljepa.cli.options import DecoderOption
from vljepa.cli.output import empty_folder, note, print_table
from vljepa.errors import ConfigError

if TYPE_CHECKING:
    from vljepa.checkpoint.vl_jepa import VLJEPA
    from vljepa.export.quantized import Quantized
    from vljepa.inference.embed import Embedder


class Format(StrEnum):
    """What is written."""

    VLJEPA = "vljepa"
    ONNX = "onnx"
    IMMICH = "immich"
    SENTENCE_TRANSFORMERS = "sentence-transformers"
    HUB = "hub"
    NPY = "npy"
    QDRANT = "qdrant"
    TRANSFORMERS = "transformers"


OF_AN_INDEX = (Format.NPY, Format.QDRANT)


def export(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="A preset, folder, hub repository or aligned:PART; or an index.")
    ],
    output: Annotated[Path, typer.Argument(metavar="OUT", help="Folder to write; new or empty.")],
    form: Annotated[
        Format,
        typer.Option(
            "--format",
            help="vljepa: a folder for vljepa. onnx: a file for each tower. immich: the folder that its machine "
            "learning loads. sentence-transformers: a folder for that library. hub: everything, with a model card. "
            "transformers: a V-JEPA as its VJEPA2Model. Of an index: npy, or qdrant.",
        ),
    ] = Format.VLJEPA,
    merge: Annotated[bool, typer.Option("--merge", help="Add adapters to the matrices that they adapt.")] = False,
    decoder: DecoderOption = None,
    full: Annotated[bool, typer.Option("--full", help="Save frozen parts too, for machines that lack them.")] = False,
    int8: Annotated[
        bool, typer.Option("--int8", help="With onnx: each tower in eight bits too, and what that costs and brings.")
    ] = False,
    check: Annotated[
        list[str] | None,
        typer.Option(
            "--check", metavar="PATH", help="Images that --int8 and immich are measured on; made ones without."
        ),
    ] = None,
    push_to: Annotated[
        str | None, typer.Option("--push-to", metavar="OWNER/NAME", help="With hub: upload the folder, too.")
    ] = None,
    private: Annotated[bool, typer.Option("--private", help="With --push-to: a repository that only you see.")] = False,
) -> None:
    """Save a model somewhere else: for vljepa, for another program, or for the hub; or the rows of an index.

    What a program gets is checked against the model before the command ends: ONNX files to 1e-4 on a CPU.

    Of an index, npy gives rows.npy (float32, an image or segment in a row) with rows.parquet (path, times and so on, in
    the same order), and qdrant a collection `vljepa` that QdrantClient(path=OUT) opens (extra `qdrant`; its local mode
    is for some 20,000 rows). `vljepa index OUT -o my.index` makes an index of either again, for the same model alone.

    Example: vljepa export runs/lora_retrieval/best my_model --merge
    Example: vljepa export my.index rows --format npy
    """
    _check_options(form, {"--int8": int8, "--check": check, "--push-to": push_to, "--private": private, "--full": full})
    if decoder is not None and form in (Format.ONNX, Format.IMMICH):
        raise ConfigError(f"--decoder has no use in --format {form.value}.", fix="leave it out.")
    if form is Format.TRANSFORMERS:
        _transformers(model, output, unused={"--merge": merge, "--decoder": decoder})
        return
    from vljepa.inference.embed import Embedder
    from vljepa.inference.index.exchange import holds_rows
    from vljepa.processing.processor import VLJEPAProcessor

    empty_folder(output)
    if holds_rows(model) or form in OF_AN_INDEX:
        if merge or decoder is not None:
            raise ConfigError("--merge and --decoder are for models.", fix="leave them out.")
        _export_index(Path(model), output, form=form)
        return
    if push_to is not None:
        from vljepa.export.hub import check_repository

        check_repository(push_to)
    loaded = _load(model, merge=merge, decoder=decoder, keep_adapters=form is Format.VLJEPA)
    if form is Format.VLJEPA:
        loaded.save_pretrained(output, full=full)
    elif form is Format.HUB:
        from vljepa.export.hub import export_hub, push

        export_hub(loaded, output, name=push_to or output.name)
        if push_to is not None:
            note(f"uploaded: {push(output, push_to, private=private)}")
    elif form is Format.SENTENCE_TRANSFORMERS:
        from vljepa.export.sentence_transformers import export_sentence_transformers

        trust = export_sentence_transformers(loaded, output, processor=VLJEPAProcessor.from_pretrained(model))
        if trust:
            note("sentence-transformers loads it with trust_remote_code=True, where vljepa is installed")
    else:
        embedder = Embedder(loaded, VLJEPAProcessor.from_pretrained(model))
        (_onnx if form is Format.ONNX else _immich)(embedder, output, int8=int8, check=check or [])
    note(f"written: {output}")


def _check_options(form: Format, given: dict[str, object]) -> None:
    """Refuse what this format has no use for."""
    uses: dict[Format, set[str]] = {
        Format.NPY: set(),
        Format.QDRANT: set(),
        Format.VLJEPA: {"--full"},
        Format.ONNX: {"--int8", "--check"},
        Format.IMMICH: {"--check"},
        Format.SENTENCE_TRANSFORMERS: set(),
        Format.HUB: {"--push-to", "--private"},
        Format.TRANSFORMERS: set(),
    }
    for option, value in given.items():
        if value and option not in uses[form]:
            fit = ", ".join(one.value for one, options in uses.items() if option in options)
            raise ConfigError(f"{option} is for --format {fit}, and this is {form.value}.", fix=f"leave {option} out.")


def _export_index(index: Path, output: Path, *, form: Format) -> None:
    from vljepa.inference.index.exchange import holds_rows, read_rows, write_npy, write_sidecar

    if form not in OF_AN_INDEX or not holds_rows(index):
        what = "no index" if form in OF_AN_INDEX else "an index, not a model"
        raise ConfigError(
            f"{str(index)!r} is {what}, and this is --format {form.value}.", fix="give npy or qdrant with an index."
        )
    header, entries = read_rows(index)
    if form is Format.NPY:
        write_npy(entries, header, output)
    else:
        from vljepa.inference.index.qdrant import write_qdrant

        write_qdrant(entries, output)
        write_sidecar(output, header, form=form.value, count=len(entries))
    note(f"{len(entries)} rows of {header.width} numbers written: {output}")


def _transformers(model: str, output: Path, *, unused: Mapping[str, object]) -> None:
    for option, value in unused.items():
        if value:
            raise ConfigError(f"{option} has no use in --format transformers.", fix="leave it out.")
    from vljepa.export.v_jepa import export_transformers

    difference = export_transformers(model, empty_folder(output))
    note(f"written: {output}; latents in transformers differ by at most {difference:.1e}")


def _load(name: str, *, merge: bool, decoder: str | None, keep_adapters: bool) -> VLJEPA:
    from vljepa.checkpoint.vl_jepa import VLJEPA
    from vljepa.export.merge import merge as merged

    loaded = VLJEPA.from_pretrained(name)
    if loaded.adapters is not None and not merge and not (keep_adapters and decoder is None):
        raise ConfigError("adapters alone have no decoder and no format but vljepa.", fix="add --merge.")
    if decoder is not None:
        loaded.load_decoder(decoder)
    return merged(loaded) if merge else loaded


def _onnx(embedder: Embedder, output: Path, *, int8: bool, check: list[str]) -> None:
    from vljepa.export.onnx import export_onnx
    from vljepa.export.quantized import quantize_towers
    from vljepa.export.samples import sample_images

    images = sample_images(check)
    written = export_onnx(embedder, output)
    rows = [
        [tower.file, ", ".join(tower.inputs), tower.output, f"{tower.difference:.1e}"]
        for tower in written.towers.values()
    ]
    print_table(columns=["file", "inputs", "output", "difference"], rows=rows)
    note(f"opset {written.opset}; embeddings of {written.embed_dim} numbers, any batch")
    if int8:
        _report_int8(quantize_towers(embedder, output, written.towers, images=images))


def _report_int8(found: dict[str, Quantized]) -> None:
    from vljepa.export.quantized import FAITHFUL

    rows = [
        [
            one.file,
            f"{one.cosine:.4f}",
            f"{one.float_megabytes:.0f} -> {one.megabytes:.0f}",
            f"{one.float_seconds / one.seconds:.2f}x",
        ]
        for one in found.values()
    ]
    print_table(columns=["file", "least cosine", "MB", "speed"], rows=rows)
    for one in found.values():
        if not one.is_faithful:
            note(f"{one.file} is not what the float file is: its least cosine is {one.cosine:.4f}, below {FAITHFUL}")


def _immich(embedder: Embedder, output: Path, *, int8: bool, check: list[str]) -> None:
    del int8
    from vljepa.export.immich import export_immich
    from vljepa.export.samples import sample_images

    cosine = export_immich(embedder, output, images=sample_images(check))
    note(f"texts are equal; images as immich prepares them have a cosine of {cosine:.4f} or more with the model's own")
