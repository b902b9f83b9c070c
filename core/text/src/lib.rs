//! athanor-text
