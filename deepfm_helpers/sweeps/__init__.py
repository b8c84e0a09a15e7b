"""Make many runs of a notebook: read what a sweep asks for, spread the runs over processes, collect the results.

Modules of a sweep use the press and the modules that a reader imports, never the other way round. A module here uses
only modules that stand above it::

    plans
    runs
    engine, results, again
    recording, cli
"""
