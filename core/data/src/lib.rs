//! athanor-data
