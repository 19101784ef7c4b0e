"""What a payment is and may become. Standard library only."""
