"""What executes, checks, builds, prints and publishes the book; ``python -m deepfm_helpers.press --help`` lists it.

The press works on a checkout of the book and uses the modules that a reader imports; they never use the press. A
module here uses only modules that stand above it::

    checkout, kernels, printing, pages, forking
    digests, checks, addresses, claiming, reruns, warm
    jobs, live, ledger
    executing, site
"""
