-- Keycloak's own database, beside that of the services. Run once, on an empty volume.
\getenv password KEYCLOAK_DATABASE_PASSWORD
CREATE ROLE keycloak LOGIN PASSWORD :'password';
CREATE DATABASE keycloak OWNER keycloak;
