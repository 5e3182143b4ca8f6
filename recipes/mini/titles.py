"""From the title of a clip-art image to words that describe it, or to nothing when it says nothing."""

from __future__ import annotations

import re

from recipes.mini.records import ascii_text
from recipes.mini.word_lists import any_of, read_words

_WORDS = read_words("titles")
COLLECTION = any_of(_WORDS["collection"])
NOISE_WORDS = frozenset(_WORDS["noise_words"])
SKIPPED_FOLDERS = tuple(_WORDS["skipped_folders"])
FOREIGN_AUTHORS = any_of(_WORDS["foreign_authors"])
NOT_A_DESCRIPTION = any_of(_WORDS["not_a_description"])
MIN_WORDS, MAX_WORDS = 1, 8


def words_of(text: str) -> list[str]:
    """Split camel case, underscores and hyphens; drop numbers, notes in brackets and file-ish words."""
    text = re.sub(r"\([^)]*\)|\[[^\]]*\]", " ", ascii_text(text))
    text = re.sub(r"\.(svg|png|jpe?g)\b", " ", text, flags=re.IGNORECASE)
    text = re.sub(r"(?<=[a-z])(?=[A-Z][a-z])", " ", text)
    text = re.sub(r"[_\-/#.,:;!?*+=~\"|]+", " ", text)
    text = re.sub(r"\d+[a-z]{0,3}\b|\d+", " ", text)
    words = [word.strip("'").lower() for word in text.split()]
    while words and words[-1] in {"and", "with", "of", "the", "a", "by"}:
        words.pop()
    return [word for word in words if (len(word) > 1 or word == "a") and (word not in NOISE_WORDS or word == "and")]


def file_words(name: str, author: str) -> list[str]:
    """Return the words of a file name without its author, who stands at its end (cut short)."""
    words = words_of(name)
    names = [word for word in words_of(author) if len(word) > 2]
    while words and any(part.startswith(words[-1]) or words[-1].startswith(part) for part in names):
        words.pop()
    return words


def clean_title(title: str, *, file_name: str, author: str, common: bool) -> str:
    """Return the words for an image, or "" when neither the title nor the file name is usable.

    ``common`` says that many images carry this very title: it names the series, so the file name is used.
    """
    if FOREIGN_AUTHORS.search(author):
        return ""
    words = [] if common or COLLECTION.search(title) or not title.isascii() else words_of(title)
    if not words:
        words = file_words(file_name, author)
    text = " ".join(words)
    letters = sum(letter.isalpha() for letter in text)
    if not MIN_WORDS <= len(words) <= MAX_WORDS or letters < 3 or max(map(len, words)) > 20:
        return ""
    return text


def clean_description(description: str, author: str) -> str:
    """Return the first sentence of a description when it is a short English-looking phrase, else ""."""
    text = re.sub(r"\([^)]*\)", " ", ascii_text(description)).strip()
    text = re.sub(r"^(this is |simply |just |(a )?(picture|image) of )", "", text, flags=re.IGNORECASE)
    if not text or NOT_A_DESCRIPTION.search(text):
        return ""
    if FOREIGN_AUTHORS.search(author):
        return ""
    sentence = re.split(r"(?<=[a-z])[.!?](?:\s|$)", text)[0].strip()
    if not 2 <= len(sentence.split()) <= 16 or not description.isascii():
        return ""
    return sentence
