-- name: read_durability :one ()
SELECT current_setting('fsync') AS fsync,
    current_setting('full_page_writes') AS full_page_writes,
    current_setting('synchronous_commit') AS synchronous_commit,
    current_setting('is_superuser') = 'on'
    OR (SELECT r.rolsuper FROM pg_roles AS r WHERE r.rolname = session_user) AS is_superuser;
