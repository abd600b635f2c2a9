"""Filters: SQL-syntax conditions over the catalogue, checked, compiled to polars, and held as bitmaps."""

from recsys.filters.cache import FilterCache
from recsys.filters.filter import Filter, compile_filter

__all__ = ["Filter", "FilterCache", "compile_filter"]
