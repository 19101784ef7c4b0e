"""Fixes of MiniStack's IAM."""
