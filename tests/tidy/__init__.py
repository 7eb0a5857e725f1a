"""The tidy tests: the rules of the tree, as code."""
