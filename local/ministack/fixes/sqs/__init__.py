"""Fixes of MiniStack's SQS."""
