"""Many runs of one notebook: what a sweep asks for, how it is spread over processes, and what came out of it.

A sweep uses the press and the modules that a reader imports; they never use a sweep. A module here uses only
modules that stand above it::

    plans
    runs
    engine, results
    recording, cli
"""
