"""The paper-trading service (not built yet; see CHANGELOG.md)."""
