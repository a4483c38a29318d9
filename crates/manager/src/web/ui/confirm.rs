//! A button that first asks. It folds out instead of covering the page, so it works without a script,
//! by keyboard, and while the page changes around it.

use maud::{Markup, html};

/// `what` is on the closed fold, `question` says what will happen, `yes` does it by a POST to `action`.
pub fn confirm(id: &str, what: &str, question: &str, yes: &str, action: &str) -> Markup {
    html! {
        details.confirm id=(id) {
            summary.button.plain { (what) }
            form method="post" action=(action) {
                p { (question) }
                button.danger type="submit" { (yes) }
            }
        }
    }
}
