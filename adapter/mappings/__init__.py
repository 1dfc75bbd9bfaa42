"""The protocol as data: the files in ``mappings/`` read, checked with file, row and remedy, and put together.

``load_protocol`` and ``load_codes`` give the nouns of :mod:`adapter.model` or raise :class:`MappingError` with every
problem; ``read_protocol`` and ``read_codes`` give the problems beside the result, warnings included.
"""

from adapter.mappings.code_map import load_codes, read_codes
from adapter.mappings.problems import MappingError, Problem, ProblemsError
from adapter.mappings.protocol import load_protocol, read_protocol

__all__ = [
    "MappingError",
    "Problem",
    "ProblemsError",
    "load_codes",
    "load_protocol",
    "read_codes",
    "read_protocol",
]
