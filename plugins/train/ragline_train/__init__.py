"""What an operator teaches and calibrates with a corpus. It imports public names of ragline alone."""
