//! athanor-finetune
