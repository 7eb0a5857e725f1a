-- A key that another takes the place of ends by itself: the process may set when. It never moves an
-- end away, and what a key may do stays as it was made.
GRANT UPDATE (expires_at) ON api_keys TO clawback_app;
