"""The books: which accounts there are, what each entry posts, and how all of it is proved."""
