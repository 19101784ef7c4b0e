"""Fixes of MiniStack's DynamoDB."""
