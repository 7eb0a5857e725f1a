"""Tests of the sandbox provider, on its real process."""
