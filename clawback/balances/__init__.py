"""Where a book's money sits, and how it moves between its buckets."""
