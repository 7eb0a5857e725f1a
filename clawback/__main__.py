"""`python -m clawback` is the command `clawback`."""

from clawback.cli.main import main

if __name__ == "__main__":
    main()
