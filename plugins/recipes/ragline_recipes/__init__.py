"""Systems of papers, as components and graphs for ragline. It imports public names of ragline alone."""
