"""Fixes of MiniStack's API Gateway."""
