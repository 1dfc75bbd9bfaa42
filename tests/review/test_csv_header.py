"""A CSV whose columns are not separated by commas is told so."""

from __future__ import annotations

import pytest

from adapter.review.rows import RowsError, read_rows


@pytest.mark.parametrize("mark", [";", "\t"])
def test_another_separator_is_named_and_not_taken_for_a_missing_header(mark: str) -> None:
    with pytest.raises(RowsError, match="not separated by commas"):
        read_rows([f"\ufeffstudy_id{mark}identifier\n", f"S-001{mark}1\n"], ("study_id", "identifier"))
