//! athanor-generation
