//! Cloud Map operations over the registry, one file per group of operations.
