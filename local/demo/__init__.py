"""The demonstration: `scenario` says what is sent and what must come out, `run` does it, `listener` hears the events,
`checks` compares, `report` draws the tables."""
