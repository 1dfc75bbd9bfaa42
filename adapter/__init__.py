"""The trial laboratory adapter: a laboratory feed in, a trial's endpoint table out."""

__version__ = "0.1.0"
