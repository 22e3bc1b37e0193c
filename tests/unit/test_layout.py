"""How compacted files are written."""

from __future__ import annotations

import gc
import weakref

import pytest

from pipeline import layout
from pipeline.lake import Lake
from tests.unit.test_lake import filled, lake

__all__ = ["lake"]


@pytest.mark.parametrize(
    ("kind", "column", "encodings", "compression"),
    [
        pytest.param("messages", "conversation_id", {"PLAIN", "RLE"}, "ZSTD", id="ids of messages have no dictionary"),
        pytest.param("messages", "nonce", {"DELTA_LENGTH_BYTE_ARRAY", "RLE"}, "UNCOMPRESSED", id="nonces are left as they are"),
        pytest.param("matches", "conversation_id", {"PLAIN", "RLE", "RLE_DICTIONARY"}, "ZSTD", id="ids of findings have one"),
    ],
)
def test_how_columns_of_compacted_files_are_written(lake: Lake, kind: str, column: str, encodings: set[str], compression: str) -> None:
    writer = layout.FileWriter(lake, kind, month="2026-11", bucket="0", lexicon="-", token="0" * 16)
    writer.write(filled(kind, 9))
    file = writer.close()
    with lake.opened(file) as opened:
        group = opened.metadata.row_group(0)
        (said,) = [c for c in map(group.column, range(group.num_columns)) if c.path_in_schema == column]
        assert (set(said.encodings), said.compression) == (encodings, compression)
    assert lake.read(kind, [file]).equals(filled(kind, 9))


def test_what_a_reader_knows_of_a_file_goes_with_it_and_waits_for_no_collector(lake: Lake) -> None:
    reader = layout.FileReader(lake, lake.write(filled("messages", 9), "messages", month="2026-11", bucket="hot"))
    gc.disable()
    try:
        assert [t.num_rows for t in reader.tables("dt", layout.Span(None, None))] == [9]
        footer = weakref.ref(reader._footer)
        assert footer() is not None
        del reader
        assert footer() is None
    finally:
        gc.enable()
