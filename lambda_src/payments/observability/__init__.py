"""Logs, metrics, and the redaction of log lines."""
