"""The demonstration. `scenario` defines requests and expected outcomes, `run` sends them, `listener` receives the
events, `checks` compares the outcomes, `report` prints the tables."""
