//! The recipe as it was resolved, word for word.

use super::prelude::*;

pub fn view(run: &RunFiles) -> Option<Value> {
    let lines = run.recipe.as_deref().map(|recipe| recipe.lines().count());
    Some(view! { recipe => run.recipe, lines => lines })
}
