"""Names for the array types used everywhere."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
Float32Array = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]
SessionArray = npt.NDArray[np.datetime64]
"""Sessions are numpy dates of unit day, ``datetime64[D]``."""
