"""Tables of the catalog that each thread keeps."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from recsys.kernels.scratch import NONE, positions_table


def test_a_thread_keeps_its_table_and_gets_a_larger_one_when_the_catalog_grows() -> None:
    table = positions_table(10)
    assert len(table) >= 10
    assert (table == NONE).all()
    assert positions_table(5) is table
    larger = positions_table(2 * len(table))
    assert len(larger) >= 2 * len(table)
    assert (larger == NONE).all()
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(positions_table, 10).result() is not larger
