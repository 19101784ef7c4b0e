"""Fixes of MiniStack's KMS."""
