"""Logs, metrics, and the redaction of what is printed."""
