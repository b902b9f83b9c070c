//! athanor-tensor
