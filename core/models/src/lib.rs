//! athanor-models
