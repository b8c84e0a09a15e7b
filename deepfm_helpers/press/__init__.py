"""Execute, check, build, print and publish the book; ``python -m deepfm_helpers.press --help`` lists the commands.

The press works on a checkout of the book and uses the modules that a reader imports; they never use the press. A
module here uses only modules on the lines above its own::

    checkout, kernels, printing, forking, comparing
    equations
    pages, digests, checks, addresses, claiming, reruns, warm
    jobs, live, train, ledger
    provenance
    executing, site
"""
