//! athanor-reward
