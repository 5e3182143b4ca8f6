"""Inner products, with faiss and without."""

import numpy as np
import pytest

from vljepa.inference.index import products


@pytest.mark.parametrize("has_faiss", [True, False])
@pytest.mark.parametrize("rows", ["whole", "every other", "read-only", "none"])
def test_they_are_those_of_numpy(has_faiss, rows, monkeypatch):
    monkeypatch.setattr(products, "_FAISS", has_faiss)
    generator = np.random.default_rng(0)
    given = generator.standard_normal((1001, 37), dtype=np.float32)
    if rows == "every other":
        given = given[::2]
    elif rows == "none":
        given = given[:0]
    given.flags.writeable = rows != "read-only"
    query = generator.standard_normal(74, dtype=np.float32)[::2]
    out = np.zeros(len(given), dtype=np.float32)

    products.inner_products(given, query, out=out)

    np.testing.assert_allclose(out, given @ query, rtol=1e-4, atol=1e-5)
