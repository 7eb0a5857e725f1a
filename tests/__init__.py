"""The tests: folders mirror clawback/; tidy/ holds the tree to its rules."""
