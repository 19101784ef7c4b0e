"""In-memory implementations of the ports for tests, the simulation and cost counting. Never in the Lambda package."""
