//! A button that copies what stands in another element.

use super::{Icon, icon};
use maud::{Markup, html};

/// `source` is the id of a field or of an element with text.
pub fn copy_button(source: &str, word: &str) -> Markup {
    html! {
        button.plain.copy type="button" data-copy=(source) data-word=(word) {
            (icon(Icon::Copy)) span.copy-word aria-live="polite" { (word) }
        }
    }
}
