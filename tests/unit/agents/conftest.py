from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from toys import train_model

from agents.checkpoint import Model


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> Iterator[None]:
    # One thread: networks this small are slower on several, and other tests may run beside these.
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """Return the model of an uninterrupted training with seed 0."""
    return train_model(tmp_path_factory.mktemp("reference") / "model")
