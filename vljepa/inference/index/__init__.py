"""Images and videos embedded once and searched ever after: a folder of shards, searched exactly or by faiss."""

from vljepa.inference.index.duplicates import Duplicate, DuplicateGroup, near_duplicates
from vljepa.inference.index.filters import Among
from vljepa.inference.index.hit import Hit
from vljepa.inference.index.index import Index

__all__ = ["Among", "Duplicate", "DuplicateGroup", "Hit", "Index", "near_duplicates"]
