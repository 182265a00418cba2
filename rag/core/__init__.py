"""The ground floor: records, protocols, errors, the registry, order of hits. It imports nothing of ours from outside."""
