"""What is run by hand to make parts of the package."""
