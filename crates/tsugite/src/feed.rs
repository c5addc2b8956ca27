//! The feed: turns registry changes and configured routes into the gateway's table.
