//! A sentence that stands out, and the place where nothing is yet.

use super::{Tone, mark};
use maud::{Markup, Render, html};

pub fn notice(tone: Tone, words: impl Render) -> Markup {
    html! { div class={ "notice " (tone.class()) } { (mark(tone)) div { (words) } } }
}

/// Where a list is empty: what would stand here, and how it comes here.
pub fn empty(title: &str, words: impl Render) -> Markup {
    html! { div.empty { (mark(Tone::Off)) h3 { (title) } p { (words) } } }
}

/// Why what was sent was not done.
pub fn refused(reason: Option<&str>) -> Markup {
    html! {
        @if let Some(reason) = reason { (notice(Tone::Failed, html! { span role="alert" { (reason) } })) }
    }
}
