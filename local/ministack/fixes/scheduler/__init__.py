"""Fixes of MiniStack's EventBridge Scheduler."""
