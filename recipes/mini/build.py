"""Builds the whole dataset: fetch, split, write images, captions and questions, check the overlap, sum up."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track

from recipes.mini import (
    clipart,
    easy_vqa,
    emoji,
    emoji_questions,
    fetch,
    overlap,
    photo_questions,
    photos,
    report,
    splitting,
)
from recipes.mini.kinds import kind_of
from recipes.mini.records import (
    SPLITS,
    CaptionSplits,
    PrepareError,
    QuestionSplits,
    Split,
    check_questions,
    normalise,
    write_bytes,
    write_json,
    write_jsonl,
)

TEXT_ONLY = "text/captions.train.jsonl"


@dataclass(frozen=True, kw_only=True)
class Request:
    """What the command line asked for."""

    out: Path
    photos: Path
    downloads: Path
    captions_tsv: Path
    seed: int


@dataclass
class Built:
    """Everything that is written, before it is written."""

    captions: dict[str, CaptionSplits] = field(default_factory=dict)
    questions: dict[str, QuestionSplits] = field(default_factory=dict)
    held_out_texts: dict[str, str] = field(default_factory=dict)
    notes: dict[str, Any] = field(default_factory=dict)


def unpacked(request: Request, console: Console) -> dict[str, Path]:
    """Fetch and unpack every package; return their folders."""
    folders = {}
    for key in fetch.PACKAGES:
        folders[key] = fetch.get(
            key,
            downloads=request.downloads,
            cache=request.downloads / "unpacked",
            say=lambda text: console.print(f"fetching {text}"),
        )
    return folders


def load_emoji(folders: dict[str, Path]) -> list[emoji.Emoji]:
    """Read the emoji of the unpacked packages."""
    return emoji.read_emoji(
        folders["emojibase"] / "package/en",
        folders["google"] / "package/emoji.json",
        {
            "google": folders["google"] / "package/img/google/64",
            "twitter": folders["twitter"] / "package/img/twitter/64",
            "fluent": folders["fluent"] / "package/assets",
        },
    )


def emoji_table(emojis: list[emoji.Emoji], seed: int) -> dict[str, Split]:
    """Return concept -> split from the committed file, which must name exactly these concepts."""
    table = splitting.lookup(splitting.read_split(f"emoji_{seed}"))
    concepts = {item.concept for item in emojis}
    if concepts != set(table):
        odd = sorted(concepts ^ set(table))[:5]
        raise PrepareError(f"recipes/mini/splits/emoji_{seed}.json does not name the concepts of these packages: {odd}")
    return table


def make_splits(request: Request, console: Console) -> None:
    """Write the split files anew (they are committed: this shows how they came about)."""
    concepts = [item.concept for item in load_emoji(unpacked(request, console))]
    for seed in (0, 1, 2):
        splitting.write_split(f"emoji_{seed}", splitting.split_concepts(concepts, seed))
    splitting.write_split("photos", splitting.split_photos(photos.read_photos(request.photos)))


def build_emoji(request: Request, folders: dict[str, Path], built: Built) -> None:
    """Add the emoji captions and questions to ``built``."""
    emojis = load_emoji(folders)
    table = emoji_table(emojis, request.seed)
    built.held_out_texts = emoji.held_out_texts(emojis, table)
    rows, owner = emoji.captions(emojis, table, request.out / "emoji")
    drop_near_copies(request, "emoji", rows, rows, built)
    nouns = emoji_questions.nouns_in_many_colours(emojis)
    kinds = sorted({kind for item in emojis if (kind := kind_of(item))})
    built.captions["emoji"] = rows
    built.questions["emoji"] = {split: emoji_questions.questions(rows[split], owner, nouns, kinds) for split in SPLITS}


def build_clipart(request: Request, folders: dict[str, Path], built: Built) -> None:
    """Add the clip-art captions to ``built``."""
    root = folders["clipart"] / "usr/share/openclipart/png"
    rows, skipped = clipart.captions(root, frozenset(built.held_out_texts), request.out / "clipart")
    drop_near_copies(request, "clipart", rows, rows, built)
    drop_near_copies(request, "clipart", rows, built.captions["emoji"], built, "emoji")
    # The other way round the held-out clip art gives way: the emoji test is the one that numbers are reported on.
    taught = list(prints_of(request.out / "emoji", built.captions["emoji"], "train").values())
    for split in SPLITS[1:]:
        prints = prints_of(request.out / "clipart", rows, split)
        rows[split], dropped = overlap.drop_near(rows[split], prints, taught)
        built.notes[f"clipart {split} images dropped: copy of a training emoji"] = dropped
    built.captions["clipart"] = rows
    built.questions["clipart"] = {
        split: emoji_questions.what_questions([row for row in rows[split] if len(row["text"][0].split()) <= 3])
        for split in SPLITS
    }
    built.notes["clipart left out"] = dict(skipped)


def build_photos(request: Request, built: Built) -> None:
    """Add the photo captions and questions, and write the text-only captions and the attributions."""
    shots = photos.read_photos(request.photos)
    table = photos.assign(shots, splitting.read_split("photos"))
    rows = photos.captions(shots, table, request.photos, request.out / "photos")
    built.captions["photos"] = rows
    built.questions["photos"] = {split: photo_questions.questions(rows[split], shots) for split in SPLITS}
    texts = photos.training_texts(request.captions_tsv, table, held_out_captions(built) | set(built.held_out_texts))
    lines = "".join(json.dumps(row) + "\n" for row in texts)
    write_bytes(request.out / TEXT_ONLY, lines.encode())
    built.notes["text captions"] = sum(len(row["text"]) for row in texts)
    write_bytes(request.out / "ATTRIBUTION.md", report.attribution(photos.attributions(shots, table)).encode())


def held_out_captions(built: Built) -> frozenset[str]:
    """Return the normalised captions of the validation and test photos."""
    rows = built.captions["photos"]
    return frozenset(normalise(text) for split in SPLITS[1:] for row in rows[split] for text in row["text"])


def check_text_only(request: Request, built: Built) -> list[str]:
    """Return what is wrong in the text-only captions, read back: photos and texts that are held out."""
    rows = [json.loads(line) for line in (request.out / TEXT_ONLY).read_text(encoding="utf-8").splitlines()]
    held = {row["source_id"].partition(":")[2] for split in SPLITS[1:] for row in built.captions["photos"][split]}
    found = overlap.equal_texts(rows, [], built.held_out_texts | dict.fromkeys(held_out_captions(built), ""))
    return found + [f"{row['source_id']}: held out" for row in rows if row["source_id"].partition(":")[2] in held]


def prints_of(folder: Path, rows: CaptionSplits, split: Split) -> dict[str, overlap.Print]:
    """Return the fingerprints of one split by ``source_id``."""
    return {row["source_id"]: overlap.print_of(folder / row["image"]) for row in rows[split]}


def drop_near_copies(
    request: Request, name: str, rows: CaptionSplits, held: CaptionSplits, built: Built, held_name: str | None = None
) -> None:
    """Take images out of training that equal or nearly equal a validation or test image; note which."""
    train = prints_of(request.out / name, rows, "train")
    folder = request.out / (held_name or name)
    held_prints = [item for split in SPLITS[1:] for item in prints_of(folder, held, split).values()]
    rows["train"], dropped = overlap.drop_near(rows["train"], train, held_prints)
    built.notes[f"{name} train images dropped: copy of held-out {held_name or name}"] = dropped


def check_overlap(request: Request, built: Built) -> dict[str, Any]:
    """Fingerprint what was written and return the overlap report."""
    train: dict[str, list[overlap.Print]] = {}
    held: dict[str, list[overlap.Print]] = {}
    for name in track([*built.captions, "easy_vqa"], description="checking overlap", transient=True):
        tables: list[Any] = [built.captions.get(name), built.questions.get(name)]
        for split in SPLITS:
            images = sorted({row["image"] for table in tables if table for row in table[split]})
            items = [overlap.print_of(request.out / name / image) for image in images]
            (train if split == "train" else held).setdefault(name, []).extend(items)
    captions = [row for rows in built.captions.values() for row in rows["train"]]
    asked = [row for rows in built.questions.values() for row in rows["train"]]
    texts = overlap.equal_texts(captions, [row for row in asked if row["type"] == "what"], built.held_out_texts)
    result = overlap.check(train, held, texts + check_text_only(request, built))
    result["reported_only"]["kind and colour answers that also name a held-out concept"] = overlap.equal_kinds(
        asked, built.held_out_texts
    )
    return result


def write_rows(out: Path, built: Built) -> None:
    """Write all captions and questions; questions are checked first."""
    for rows in built.questions.values():
        for split in SPLITS:
            check_questions(rows[split])
    for kind, tables in (("captions", built.captions), ("questions", built.questions)):
        for name, table in tables.items():
            for split in SPLITS:
                write_jsonl(out / name / f"{kind}.{split}.jsonl", table[split])


def build(request: Request, console: Console) -> dict[str, Any]:
    """Build everything below ``request.out``; return the overlap report."""
    if not request.captions_tsv.is_file():
        raise PrepareError(f"there is no {request.captions_tsv}; name the captions by --captions-tsv PATH/TO/THE.tsv")
    folders = unpacked(request, console)
    built = Built()
    with console.status("emoji"):
        build_emoji(request, folders, built)
    with console.status("photos"):
        build_photos(request, built)
    with console.status("clip art"):
        build_clipart(request, folders, built)
    with console.status("easy-VQA"):
        data = folders["easy_vqa"] / "easy_vqa/data"
        built.questions["easy_vqa"] = easy_vqa.questions(data, request.out / "easy_vqa")
    write_rows(request.out, built)
    result = check_overlap(request, built)
    write_json(request.out / "overlap.json", result)
    write_json(request.out / "summary.json", report.summary(built.captions, built.questions, built.notes, request.seed))
    report.show(console, built.captions, built.questions, result)
    return result
