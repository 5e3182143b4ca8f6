"""Inner products of one query with very many rows: bound by how quickly memory is read, if nothing is in the way.

BLAS is: for one vector, a tall matrix and one thread it takes twice as long as this. Shapes: n rows, D width.
"""

from __future__ import annotations

import importlib.util

import numpy as np

from vljepa.inference.embedded import Rows

_FAISS = importlib.util.find_spec("faiss") is not None


def inner_products(rows: Rows, query: Rows, *, out: Rows) -> None:
    """Fill `out` [n] with the products of `rows` [n, D] and `query` [D]; by faiss where it is installed."""
    if not _FAISS or not len(rows) or not rows.flags.c_contiguous:
        np.einsum("nd,d->n", rows, query, out=out)
        return
    import faiss

    query = np.ascontiguousarray(query, dtype=np.float32)
    pointers = (faiss.swig_ptr(one) for one in (out, query, rows))
    faiss.fvec_inner_products_ny(*pointers, rows.shape[1], len(rows))
