-- Run once by the single-user server, one command a line, before anybody can connect.
ALTER SYSTEM SET password_encryption = 'scram-sha-256';
CREATE ROLE clawback LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD 'owner_password';
CREATE ROLE clawback_app NOLOGIN;
CREATE ROLE clawback_reader NOLOGIN;
GRANT clawback_app, clawback_reader TO clawback;
CREATE DATABASE clawback OWNER clawback;
