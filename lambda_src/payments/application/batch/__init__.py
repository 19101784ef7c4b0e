"""How a file of payments is read, dispatched and reported."""
