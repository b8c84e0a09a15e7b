"""Your own data: from any table of ratings or clicks, read strictly, to fields, a judged model, scores and a page.

A folder holds the tables and a file `dataset.toml`, which says what they are; `data.read` reads both. Frames that are
in memory already become the same object through `data.from_frames`; rows that do not fit there are read part by part by
`large.read`. The modules use those of the package, never the
other way round, and a module here uses only modules that stand above it::

    layouts
    fields, cells
    files
    guessing
    data
    large
    accounts, progress, judging, serving, streams
    fitting
    folders, keeping
    scoring, lists, exporting
    showing
    commands
"""
