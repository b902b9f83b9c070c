//! athanor-corpus
