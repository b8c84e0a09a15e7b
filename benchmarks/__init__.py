"""Benchmarks of the book beside the post's code and other libraries; see README.md in this folder."""
