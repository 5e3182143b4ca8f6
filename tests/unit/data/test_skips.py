from pathlib import Path

import pytest

from vljepa.data.skips import check_skipped, name_skipped
from vljepa.errors import DataError


def test_the_budget_and_its_names():
    skipped = {Path(f"{number}.png"): "broken" for number in range(7)}
    check_skipped(skipped, total=700, tolerated=0.01)
    with pytest.raises(DataError, match=r"7 of 699 .*0\.png \(broken\).*and 2 more.*max_skipped"):
        check_skipped(skipped, total=699, tolerated=0.01)
    one = {Path("0.png"): "broken"}
    check_skipped(one, total=3, tolerated=0.01)
    with pytest.raises(DataError, match="1 of 3 rows are"):
        check_skipped(one, total=3, tolerated=0, what="rows")
    with pytest.raises(DataError, match="2 of 3 images are"):
        check_skipped(dict.fromkeys("ab", "broken"), total=3, tolerated=0.01)
    assert name_skipped(dict(list(skipped.items())[:1])) == "0.png (broken)"
