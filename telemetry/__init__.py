"""What every process of ours writes about itself: one format for our lines and for the libraries', and no values in it."""
