"""The alarms and the dashboard."""
