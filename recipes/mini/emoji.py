"""Emoji in three drawing styles with their English names and keywords, split by concept."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from recipes.mini.concepts import clean_name, concept_of, dropped, is_gendered
from recipes.mini.images import save_png
from recipes.mini.records import SPLITS, Caption, CaptionSplits, Split, ascii_text, normalise, stable_key

STYLES = {"google": "Apache-2.0", "twitter": "CC BY 4.0", "fluent": "MIT"}
LONGEST = {"google": 64, "twitter": 64, "fluent": 160}
FLAG_GROUP, COMPONENT_GROUP = 9, 2


@dataclass(frozen=True, kw_only=True)
class Emoji:
    """One emoji: its names, where it stands in the Unicode order, and its image in each style that has it."""

    code: str
    label: str
    concept: str
    tags: tuple[str, ...]
    other_names: tuple[str, ...]
    group: str
    subgroup: str
    order: int
    images: Mapping[str, Path] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The name as a person would say it; the evaluation caption."""
        return clean_name(self.label)


def code_key(code: str) -> str:
    """Return a code point sequence in the form that all packages share: no variation selector, lower case."""
    return "-".join(part for part in code.lower().split("-") if part != "fe0f")


def find_images(folders: Mapping[str, Path]) -> dict[str, dict[str, Path]]:
    """Return code -> style -> image file for every style's folder."""
    found: dict[str, dict[str, Path]] = {}
    for style, folder in folders.items():
        for path in sorted(folder.iterdir()):
            if path.suffix in {".png", ".webp"}:
                found.setdefault(code_key(path.stem), {})[style] = path
    return found


def other_names(entry: Mapping[str, Any], label: str) -> tuple[str, ...]:
    """Return the names that the image package gives, where they are words and differ from the label."""
    raw = [str(entry.get("name") or ""), *(str(name) for name in entry.get("short_names", []))]
    names = [ascii_text(name.replace("_", " ").replace("-", " ")).lower() for name in raw]
    known = {normalise(label)}
    kept: list[str] = []
    for name in names:
        if len(name) > 2 and not any(letter.isdigit() for letter in name) and normalise(name) not in known:
            known.add(normalise(name))
            kept.append(name)
    return tuple(kept)


def read_emoji(emojibase: Path, google_json: Path, folders: Mapping[str, Path]) -> list[Emoji]:
    """Return every emoji that takes part, in Unicode order: no flags, keycaps, components, nor imageless ones."""
    data = json.loads((emojibase / "data.json").read_text(encoding="utf-8"))
    messages = json.loads((emojibase / "messages.json").read_text(encoding="utf-8"))
    groups = {item["order"]: item["key"] for item in messages["groups"]}
    # Two subgroups share an order number in the package ("food-marine" and "food-sweet"): the kind is "food" anyway.
    subgroups = {item["order"]: item["key"] for item in messages["subgroups"]}
    named = {code_key(entry["unified"]): entry for entry in json.loads(google_json.read_text(encoding="utf-8"))}
    images = find_images(folders)
    result = []
    for entry in data:
        code, label = code_key(entry["hexcode"]), str(entry["label"])
        group = entry.get("group")
        if group in (None, FLAG_GROUP, COMPONENT_GROUP) or dropped(label) or code not in images:
            continue
        result.append(
            Emoji(
                code=code,
                label=label,
                concept=concept_of(label),
                tags=tuple(ascii_text(tag).lower() for tag in entry.get("tags", []) if ascii_text(tag)),
                other_names=other_names(named.get(code, {}), clean_name(label)),
                group=groups[group],
                subgroup=subgroups.get(entry.get("subgroup"), ""),
                order=int(entry["order"]),
                images=images[code],
            )
        )
    return sorted(result, key=lambda emoji: emoji.order)


def basic(variants: Iterable[Emoji]) -> Emoji:
    """Return the concept's most basic emoji: no gender, not "facing right", drawn in most styles, first in order."""
    return min(
        variants,
        key=lambda emoji: (is_gendered(emoji.label), ":" in emoji.label, -len(emoji.images), emoji.order),
    )


def training_texts(emoji: Emoji, forbidden: frozenset[str]) -> list[str]:
    """Return the name first, then other names and keyword lists; none equal to a held-out concept's text."""
    name_words = set(normalise(emoji.name).split())
    tags = [tag for tag in emoji.tags if tag.isalpha() and not set(normalise(tag).split()) <= name_words]
    tags.sort(key=lambda tag: stable_key("tag", emoji.code, tag))
    texts = [emoji.name, *emoji.other_names]
    if tags:
        texts.append(", ".join([emoji.name, *tags[:3]]))
        texts.append(", ".join(tags[:5]))
    seen: set[str] = set()
    kept = []
    for text in texts:
        if normalise(text) and normalise(text) not in seen | forbidden:
            seen.add(normalise(text))
            kept.append(text)
    assert kept[:1] == [emoji.name], f"{emoji.name!r} is the text of a held-out concept"
    return kept


def by_concept(emojis: Iterable[Emoji]) -> dict[str, list[Emoji]]:
    """Group emoji by concept."""
    groups: dict[str, list[Emoji]] = {}
    for emoji in emojis:
        groups.setdefault(emoji.concept, []).append(emoji)
    return groups


def held_out_texts(emojis: Iterable[Emoji], table: Mapping[str, Split]) -> dict[str, str]:
    """Return normalised text -> concept of validation and test: names of all variants and the concept itself."""
    texts: dict[str, str] = {}
    for emoji in emojis:
        if table[emoji.concept] != "train":
            texts[normalise(emoji.name)] = emoji.concept
            texts[normalise(emoji.concept)] = emoji.concept
    return texts


def captions(emojis: list[Emoji], table: Mapping[str, Split], out: Path) -> tuple[CaptionSplits, dict[str, Emoji]]:
    """Write the images and return the captions of every split, and the emoji of each ``source_id``.

    Training has every variant; validation and test have the basic emoji of each concept once per style.
    """
    rows: CaptionSplits = {split: [] for split in SPLITS}
    owner: dict[str, Emoji] = {}
    forbidden = frozenset(held_out_texts(emojis, table))
    for concept, variants in by_concept(emojis).items():
        split = table[concept]
        for emoji in variants if split == "train" else [basic(variants)]:
            for style, source in sorted(emoji.images.items()):
                image = f"images/{style}/{emoji.code}.png"
                if not save_png(source, out / image, LONGEST[style]):
                    continue
                row = Caption(
                    image=image,
                    text=training_texts(emoji, forbidden) if split == "train" else [emoji.name],
                    source_id=f"emoji:{style}/{emoji.code}",
                    concept=concept,
                    style=style,
                    license=STYLES[style],
                )
                rows[split].append(row)
                owner[row["source_id"]] = emoji
    for split in ("validation", "test"):
        texts = {normalise(row["text"][0]) for row in rows[split]}
        assert len(texts) == len({row["concept"] for row in rows[split]}), f"two {split} concepts share a text"
    return rows, owner
