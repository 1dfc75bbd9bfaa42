"""The coordinator's queue and roster: what people decide, one implementation for every way of deciding it."""
