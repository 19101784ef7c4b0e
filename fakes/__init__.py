"""The ports in memory, for tests, the simulation and the cost counting. Never in the Lambda package."""
