//! The icons of the navigation, drawn with one stroke width on a grid of 20.

use maud::{Markup, html};

#[derive(Clone, Copy, Debug)]
pub enum Icon {
    Overview,
    Discover,
    Media,
    Cluster,
    Network,
    Copy,
}

impl Icon {
    fn path(self) -> &'static str {
        match self {
            Self::Overview => "M3 10.5 10 4l7 6.5M5 9v7h10V9M8.5 16v-4h3v4",
            Self::Discover => "M9 15a6 6 0 1 0 0-12 6 6 0 0 0 0 12ZM13.4 13.4 17 17M9 6.2v5.6M6.2 9h5.6",
            Self::Media => "M5 3h7l3.5 3.5V17H5ZM8 3v3.5M10.5 3v3.5M8 12h5",
            Self::Cluster => "M3 4h14v4H3ZM3 12h14v4H3ZM6 6h.1M6 14h.1",
            Self::Network => "M10 3v4M10 7H5v4M10 7h5v4M3 11h4v4H3ZM13 11h4v4h-4ZM8 3h4",
            Self::Copy => "M7 7h9v10H7ZM4 13V3h9",
        }
    }
}

pub fn icon(icon: Icon) -> Markup {
    html! {
        svg.icon viewBox="0 0 20 20" aria-hidden="true" focusable="false" { path d=(icon.path()) {} }
    }
}
