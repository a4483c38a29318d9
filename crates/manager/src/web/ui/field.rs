//! Form fields: a label, the control, and a hint that belongs to it.

use maud::{Markup, html};

pub struct Choice<'a> {
    pub value: &'a str,
    pub words: String,
    pub chosen: bool,
}

pub fn select(id: &str, name: &str, label: &str, choices: &[Choice<'_>]) -> Markup {
    html! {
        div.field {
            label for=(id) { (label) }
            select id=(id) name=(name) {
                @if !choices.iter().any(|choice| choice.chosen) { option value="" selected { "choose" } }
                @for choice in choices {
                    option value=(choice.value) selected[choice.chosen] { (choice.words) }
                }
            }
        }
    }
}

/// A box to tick, with its sentence.
pub fn tick(id: &str, name: &str, value: &str, sentence: &Markup) -> Markup {
    html! {
        label.tick for=(id) { input id=(id) type="checkbox" name=(name) value=(value); span { (sentence) } }
    }
}
