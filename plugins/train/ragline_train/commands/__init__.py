"""The commands: each has its options beside its `run`."""
