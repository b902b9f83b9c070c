//! athanor-pretrain
