//! What several tests use.

use athanor_models::Shape;

/// A small model of two blocks.
pub fn shape() -> Shape {
    Shape {
        vocabulary: 23,
        context: 12,
        hidden: 8,
        layers: 2,
        heads: 2,
        kv_heads: 2,
        intermediate: 11,
        ..Shape::default()
    }
}
