"""Operations that reduce, accumulate, sort and search."""

from __future__ import annotations

from typing import Any

import numpy as np

from coverage_table.case import Case, operation, words

__all__ = ["CASES"]

POSITIVE = (0.2, 1.6)
REDUCING = words("""
    Amax Amin Max Mean Median Min Nanmax Nanmean Nanmedian Nanmin Nanprod Nanstd Nansum Nanvar Prod Ptp Std Sum
    Var
    """)
SEARCHING = words("""
    Argmax Argmin Nanargmax Nanargmin
    """)
ROUNDS = {"Std": 4, "Var": 4, "Nanstd": 4, "Nanvar": 4}
DIGITS = (0.0, 9.9)


def reducing(name: str) -> list[Case]:
    return [
        operation(f"numpy.{name}", domain=POSITIVE, rounds=ROUNDS.get(name, 1), **arguments)
        for arguments in ({"axis": -1}, {"axis": (1, 2)}, {"axis": 1, "keepdims": True})
    ]


def alone(x: Any, count: int = -1) -> Any:
    """One image's values without the batch axis; files that run one image at a time can have such ops."""
    from keras import ops

    return ops.reshape(x, (count,))


def row(y: Any, count: int) -> Any:
    from keras import ops

    return ops.reshape(y, (-1, count))


CASES = [
    *(case for name in REDUCING for case in reducing(name)),
    *(
        operation(f"numpy.{name}", **arguments)
        for name in SEARCHING
        for arguments in ({"axis": -1}, {"axis": 1, "keepdims": True})
    ),
    *(operation(f"numpy.{name}", f"axis={axis}", lambda made, x: made(x > 0.1), axis=axis)
      for name in ("All", "Any") for axis in (-1, (1, 2))),
    operation("numpy.CountNonzero", "axis=-1", lambda made, x: made(x > 0.1), axis=-1),
    *(operation(f"numpy.{name}", "q=0.3", lambda made, x: made(x, 0.3), axis=1) for name in
      ("Quantile", "Nanquantile")),
    *(operation(f"numpy.{name}", "q=30", lambda made, x: made(x, 30.0), axis=1) for name in
      ("Percentile", "Nanpercentile")),
    operation("numpy.Average", axis=1),
    operation("numpy.Average", "weights", lambda made, x: made(x, np.float32([1, 2, 3, 4])), axis=1),
    *(operation(f"numpy.{name}", axis=1, domain=POSITIVE, rounds=2)
      for name in ("Cumprod", "Cumsum", "Nancumprod", "Nancumsum")),
    operation("numpy.Diff", axis=1),
    operation("numpy.Diff", n=2, axis=1),
    operation("numpy.Trapezoid", axis=1),
    operation("numpy.Sort", axis=-1),
    operation("numpy.Sort", axis=1),
    operation("numpy.Argsort", axis=-1),
    operation("numpy.Argpartition", kth=1),
    operation("math.TopK", k=2),
    operation("math.Logsumexp", axis=-1, rounds=2),
    operation("math.Logsumexp", axis=(1, 2), keepdims=True, rounds=2),
    operation("linalg.Norm", axis=-1, rounds=3),
    operation("linalg.Norm", ord=1, axis=1, rounds=2),
    operation("numpy.Bincount", "digits", lambda made, x: row(made(whole(alone(x))), 10), minlength=10,
              shape=(6,), domain=DIGITS),
    operation("numpy.Digitize", "bins", lambda made, x: made(x, np.float32([-1, 0, 1]))),
    operation("numpy.SearchSorted", "bins",
              lambda made, x: row(made(np.float32([-1, 0, 1]), alone(x)), 48)),
    operation("numpy.IsIn", "digits", lambda made, x: made(whole(x), np.int32([1, 3, 5])), shape=(6,), domain=DIGITS),
    operation("numpy.Corrcoef", "one image", lambda made, x: row(made(x_rows(x)), 16), rounds=4),
    operation("numpy.Correlate", "filter", lambda made, x: row(made(alone(x, 48), np.float32([1, -2, 1])), 46)),
    operation("numpy.Trace", axis1=1, axis2=2),
    operation("numpy.Size", "times", lambda made, x: x * cast(made(x))),
    operation("numpy.Ndim", "times", lambda made, x: x * cast(made(x)), shape=(4, 4, 4)),
]  # fmt: skip


def whole(x: Any) -> Any:
    from keras import ops

    return ops.cast(x, "int32")


def cast(y: Any) -> Any:
    from keras import ops

    return ops.cast(y, "float32")


def x_rows(x: Any) -> Any:
    from keras import ops

    return ops.reshape(x, (4, 12))
