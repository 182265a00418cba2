"""What every room shares: records, protocols, errors, the registry, order of hits. Imports nothing of ours from outside."""
