"""One file for each system that is timed, run as a process of its own; `protocol` is what they speak."""
