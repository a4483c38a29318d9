//! The four states, and "off": each has a colour *and* a shape, because colour alone tells nothing to many.

use maud::{Markup, html};

/// What a state means to the owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tone {
    /// Not there, and nobody misses it.
    Off,
    Good,
    /// Something is under way by itself.
    Working,
    /// It waits for the owner, or may become worse.
    Attention,
    Failed,
}

impl Tone {
    pub fn class(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Good => "good",
            Self::Working => "working",
            Self::Attention => "attention",
            Self::Failed => "failed",
        }
    }
}

/// The shape alone; what it means has to stand beside it in words.
pub fn mark(tone: Tone) -> Markup {
    html! {
        svg class={ "mark " (tone.class()) } viewBox="0 0 16 16" aria-hidden="true" focusable="false" {
            @match tone {
                Tone::Off => circle cx="8" cy="8" r="5.6" class="stroke" stroke-dasharray="2.4 2" {},
                Tone::Good => {
                    circle cx="8" cy="8" r="7" class="fill" {}
                    path d="M4.6 8.3 7 10.6 11.5 5.8" class="inner" {}
                }
                Tone::Working => {
                    circle cx="8" cy="8" r="5.8" class="stroke faint" {}
                    path d="M8 2.2A5.8 5.8 0 0 1 13.8 8" class="stroke turning" {}
                }
                Tone::Attention => {
                    path d="M8 1.2 15.4 14.4H.6Z" class="fill round" {}
                    path d="M8 5.8v4M8 12v.2" class="inner" {}
                }
                Tone::Failed => {
                    path d="M5 1h6l4 4v6l-4 4H5l-4-4V5Z" class="fill" {}
                    path d="M5.4 5.4l5.2 5.2M10.6 5.4l-5.2 5.2" class="inner" {}
                }
            }
        }
    }
}

/// Mark and word.
pub fn state(tone: Tone, word: impl std::fmt::Display) -> Markup {
    html! { span class={ "state " (tone.class()) } { (mark(tone)) span { (word) } } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_states_have_the_same_shape() {
        let tones = [Tone::Off, Tone::Good, Tone::Working, Tone::Attention, Tone::Failed];
        let mut shapes: Vec<String> =
            tones.iter().map(|tone| mark(*tone).into_string().replace(tone.class(), "")).collect();
        shapes.sort_unstable();
        shapes.dedup();
        assert_eq!(shapes.len(), tones.len());
    }
}
