"""Fixes of MiniStack's S3."""
