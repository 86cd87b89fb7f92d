"""Rows of Parquet files, read by pyarrow's ParquetFile.

The stream of datasets reads Parquet with ``Fragment.to_batches``, which sometimes never returns
(apache/arrow issue 45214, huggingface/datasets issue 7467). ``ParquetFile.iter_batches`` does.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

_BATCH = 256  # rows in memory at once; images are compressed in them


@dataclass(frozen=True)
class ParquetSplit:
    """The rows of a split, with what is used of datasets' ``IterableDataset``.

    Args:
        files: paths or addresses, in order.
        features: the columns, as datasets describes them.
        info: what the data set says about itself.
    """

    files: Sequence[str]
    features: Any
    info: Any

    def select_columns(self, names: Sequence[str]) -> ParquetSplit:
        """Return the split with these columns only."""
        import datasets

        return replace(self, features=datasets.Features({n: self.features[n] for n in names}))

    def cast_column(self, name: str, feature: Any) -> ParquetSplit:
        """Return the split with another description of a column."""
        import datasets

        return replace(self, features=datasets.Features({**self.features, name: feature}))

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Yield each row; images as the ``bytes`` and the ``path`` that are stored."""
        import pyarrow as pa
        import pyarrow.parquet as pq
        from datasets.table import table_cast
        from datasets.utils.file_utils import xopen

        for one in self.files:
            with xopen(one, "rb") as file, pq.ParquetFile(file) as parquet:
                for batch in parquet.iter_batches(_BATCH, columns=list(self.features)):
                    table = pa.Table.from_batches([batch])
                    yield from table_cast(table, self.features.arrow_schema).to_pylist()


def parquet_splits(builder: Any) -> dict[str, ParquetSplit] | None:
    """Return the splits of a data set of Parquet files, and None for other files.

    Args:
        builder: what ``datasets.load_dataset_builder`` returns.
    """
    import datasets
    import pyarrow.parquet as pq
    from datasets.packaged_modules.parquet.parquet import Parquet
    from datasets.utils.file_utils import xopen

    files = builder.config.data_files
    if not isinstance(builder, Parquet) or not files:
        return None
    splits = {}
    for name, paths in files.items():
        features = builder.info.features
        if features is None:
            with xopen(paths[0], "rb") as file:
                features = datasets.Features.from_arrow_schema(pq.read_schema(file))
        splits[str(name)] = ParquetSplit(list(map(str, paths)), features, builder.info)
    return splits
