"""The command line: one module per group of commands, each loaded only when it is called."""
