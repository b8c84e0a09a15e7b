"""What executes, checks, builds, prints and publishes the book; ``python -m deepfm_helpers.press --help`` lists it.

The press works on a checkout of the book and uses the modules that a reader imports; they never use the press. Its own
arrows point one way too::

    checkout -> digests -> executing, site
    kernels -> reruns -> jobs -> executing, recording
    checkout -> checks, ledger, addresses -> site
    printing -> site
    live: the model of the page live
    pages: the Sphinx extension, loaded by ``_config.yml``
"""
