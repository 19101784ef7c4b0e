"""The batch lane: a CSV file in, its payments stored and queued, its results out."""
