"""The systems that are timed, one file each, which runs as a process of its own; `protocol` says how they answer."""
