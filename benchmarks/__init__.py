"""Benchmarks of the book against the post's code and other libraries; see README.md in this folder."""
