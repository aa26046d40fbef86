from __future__ import annotations

from hypothesis import settings

# The same examples in every run; `pytest --hypothesis-profile=explore` looks for new ones.
settings.register_profile("repeatable", deadline=None, max_examples=40, derandomize=True)
settings.register_profile("explore", deadline=None, max_examples=500)
settings.load_profile("repeatable")
