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

/// A secret, which the browser offers to fill in or to keep as `autocomplete` says.
pub fn password(id: &str, name: &str, label: &str, autocomplete: &str) -> Markup {
    html! {
        div.field {
            label for=(id) { (label) }
            input id=(id) type="password" name=(name) autocomplete=(autocomplete) required;
        }
    }
}

/// A word that may be left out, of at most so many characters.
pub fn text(id: &str, name: &str, label: &str, longest: u8) -> Markup {
    html! {
        div.field {
            label for=(id) { (label) }
            input id=(id) type="text" name=(name) maxlength=(longest) autocomplete="off" spellcheck="false" autocapitalize="none";
        }
    }
}

/// A secret that may be left out, and that the browser is not to keep: it is no password of this page.
pub fn secret(id: &str, name: &str, label: &str) -> Markup {
    html! {
        div.field {
            label for=(id) { (label) }
            input id=(id) type="password" name=(name) autocomplete="off";
        }
    }
}

/// Text of several lines that is pasted, not written.
pub fn pasted(id: &str, name: &str, label: &str, rows: u8) -> Markup {
    html! {
        div.field {
            label for=(id) { (label) }
            textarea.mono id=(id) name=(name) rows=(rows) required spellcheck="false" autocomplete="off" {}
        }
    }
}
