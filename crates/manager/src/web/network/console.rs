//! The consoles of nodes without a screen, by the serial adapters of the manager's machine.

use crate::web::ui::{self, Tone, state};
use cairn_host::serial::Adapter;
use maud::{Markup, html};

pub fn consoles(adapters: &[Adapter]) -> Markup {
    html! {
        details.fold #serial {
            summary { h3 { "Serial console" } span.quiet {
                @if adapters.is_empty() { "no adapter is plugged in" } @else { "115200 8N1" }
            } }
            @if adapters.is_empty() {
                p.quiet { "For a node without a screen: plug a USB serial adapter into the manager's machine, and its wires into the node's console." }
            }
            @for adapter in adapters { (console(adapter)) }
        }
    }
}

fn console(adapter: &Adapter) -> Markup {
    let id = format!("console-{}", ui::part(&adapter.name));
    html! {
        @if let Some(problem) = &adapter.problem {
            p id=(id) { strong { (adapter.name) } " " (state(Tone::Failed, "can't be opened")) " " (problem) }
        } @else {
            details.log id=(id) data-console=(adapter.name) data-keep {
                summary.button.plain { "Open " (adapter.name) }
                pre.log-lines tabindex="0" role="log" aria-label={ "Console on " (adapter.name) } {}
                form.type-line {
                    label.sr for={ (id) "-line" } { "Type a line" }
                    input id={ (id) "-line" } type="text" autocomplete="off" autocapitalize="off" spellcheck="false" placeholder="Type a line, then Enter";
                    button.plain type="submit" { "Send" }
                    button.plain type="button" data-control="3" { "Ctrl-C" }
                }
            }
        }
    }
}
