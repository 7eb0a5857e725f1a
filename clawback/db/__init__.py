"""PostgreSQL: the embedded server, connections, SQL files and migrations."""
