"""Images and videos embedded once and searched ever after: a folder of shards, searched exactly or by faiss."""

from vljepa.inference.index.filters import Among
from vljepa.inference.index.index import Hit, Index

__all__ = ["Among", "Hit", "Index"]
