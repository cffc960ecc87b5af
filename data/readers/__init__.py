"""Benchmark data as people hold it: one layout, one file; `formats` is the table of them."""
