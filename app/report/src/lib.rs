//! athanor-report
