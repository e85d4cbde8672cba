//! Histories that went wrong in a known way.
