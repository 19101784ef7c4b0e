"""Fixes of MiniStack's Lambda."""
