"""Fixes of MiniStack's Step Functions."""
