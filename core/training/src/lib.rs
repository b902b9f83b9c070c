//! athanor-training
