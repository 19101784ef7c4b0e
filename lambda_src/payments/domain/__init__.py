"""What a payment is and which changes it allows. Standard library only."""
