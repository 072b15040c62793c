//! Miniports in C.
