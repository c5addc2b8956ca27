//! The active health checker: probes instances and reports to the registry.
