"""What the system does, one use case a file. It reaches the outside through ports only."""
