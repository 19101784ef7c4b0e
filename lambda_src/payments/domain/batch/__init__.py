"""A batch of payments: its state, its rows and their errors."""
