//! athanor-reinforce
