"""The domain of tags."""
