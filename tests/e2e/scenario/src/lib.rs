//! Runner of the end-to-end scenario.
