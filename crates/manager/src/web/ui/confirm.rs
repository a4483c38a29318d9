//! A button that first asks. It folds out instead of covering the page, so it works without a script,
//! by keyboard, and while the page changes around it.

use maud::{Markup, html};

/// `what` is on the closed fold, `question` says what will happen, `yes` does it by a POST to `action`.
pub fn confirm(id: &str, what: &str, question: &str, yes: &str, action: &str) -> Markup {
    fold(id, &html! { summary.button.plain { (what) } }, question, yes, action)
}

/// The same as one of several tiles, with what it is for.
pub fn confirm_tile(id: &str, what: &str, purpose: &str, question: &str, action: &str) -> Markup {
    fold(id, &html! { summary.action { strong { (what) } span { (purpose) } } }, question, what, action)
}

fn fold(id: &str, summary: &Markup, question: &str, yes: &str, action: &str) -> Markup {
    html! {
        details.confirm id=(id) {
            (summary)
            form method="post" action=(action) {
                p { (question) }
                button.danger type="submit" { (yes) }
            }
        }
    }
}
