//! The DNS door: A and SRV answers from the registry over UDP and TCP.
