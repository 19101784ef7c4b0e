"""Fixes of MiniStack's Cognito."""
