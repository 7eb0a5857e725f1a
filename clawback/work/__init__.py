"""What is done when something falls due, by processes that may die at any moment."""
