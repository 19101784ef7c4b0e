"""Fixes of MiniStack's WAF."""
