"""What a batch of payments is: its state, its rows, their errors."""
