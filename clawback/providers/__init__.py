"""Payment providers: one port, one adapter each, and what each rail can give back, as data."""
