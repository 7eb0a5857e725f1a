-- Run once by the single-user server, one command a line, before anybody can connect.
CREATE ROLE clawback LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD 'owner_password';
CREATE ROLE clawback_app NOLOGIN;
CREATE ROLE clawback_reader NOLOGIN;
GRANT clawback_app, clawback_reader TO clawback;
CREATE DATABASE clawback OWNER clawback;
