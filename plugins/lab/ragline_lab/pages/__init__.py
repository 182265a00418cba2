"""What our pages of figures share. A page is one HTML file that needs nothing else."""
