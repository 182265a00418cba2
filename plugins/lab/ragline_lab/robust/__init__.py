"""What writers and defences answer from right, misleading and empty documents (RAGuard, Zeng et al., arXiv 2502.16101)."""
