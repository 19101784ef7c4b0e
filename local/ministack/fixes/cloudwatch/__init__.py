"""Fixes of MiniStack's CloudWatch."""
