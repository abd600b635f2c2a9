"""Filters: conditions over the catalog in the syntax of SQL, compiled to polars expressions."""

from recsys.filters.cache import FilterCache
from recsys.filters.filter import Filter, compile_filter

__all__ = ["Filter", "FilterCache", "compile_filter"]
