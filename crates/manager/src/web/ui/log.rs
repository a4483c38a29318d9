//! A node's journal, live. The script fills it in; without one, the command line is there.

use maud::{Markup, html};

pub fn log(node: &str) -> Markup {
    html! {
        details.log #log data-log=(node) data-keep {
            summary.button.plain { "Show its log" }
            div.field {
                label for="log-unit" { "Of" }
                select #log-unit { option value="" { "everything" } option value="k3s.service" { "k3s.service" } }
            }
            div.log-lines role="log" tabindex="0" aria-label={ "Log of " (node) } {}
            noscript { p { "Without scripts: " code { "cairn node logs -f " (node) } } }
        }
    }
}
