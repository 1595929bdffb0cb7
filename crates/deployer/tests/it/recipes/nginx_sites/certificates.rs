//! Certificates, with certbot and a CA of the test's own (pebble).
