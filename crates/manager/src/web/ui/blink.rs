//! A button that makes a machine show itself in the pile. The script asks for it, so that nothing that was
//! filled in on the page is lost; without one, the command line is there.

use maud::{Markup, html};

/// `path` is where the API takes it, `who` what the command line calls the machine.
pub fn blink(path: &str, who: &str) -> Markup {
    html! {
        div.blink {
            button.plain type="button" data-blink=(path) { "Blink its light" }
            output {}
            noscript { p { "Without scripts: " code { "cairn node blink " (who) } } }
        }
    }
}
