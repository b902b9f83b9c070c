//! The recipe as it was resolved, word for word.

use super::{Section, view};

pub const SECTION: Section = Section {
    id: "recipe",
    title: "Recipe",
    template: include_str!("../../templates/recipe.html"),
    view: |run| {
        Some(
            view! { recipe => run.recipe, lines => run.recipe.as_deref().map(|r| r.lines().count()) },
        )
    },
    key: None,
};
