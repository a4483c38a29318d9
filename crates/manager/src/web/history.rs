//! What happened in all jobs, the newest first. A pure function of the events.

use super::ui::{Tone, mark};
use super::words;
use crate::feed::Item;
use cairn_workflow::What;
use maud::{Markup, html};
use std::collections::BTreeMap;

const SHOWN: usize = 40;

struct Line<'a> {
    item: &'a Item,
    tone: Tone,
    words: String,
}

/// Of one subject, or of all of them.
pub fn history(items: &[Item], subject: Option<&str>) -> Markup {
    let lines = lines(items);
    let is_meant = |line: &&Line<'_>| subject.is_none_or(|subject| line.item.subject == subject);
    let shown: Vec<&Line<'_>> = lines.iter().rev().filter(is_meant).take(SHOWN).collect();
    html! {
        section aria-labelledby="history" {
            h2 #history { "What happened" }
            @if shown.is_empty() { p.quiet { "Nothing yet, since the manager started." } }
            ol.history {
                @for line in shown {
                    li id={ "event-" (line.item.number) } {
                        (mark(line.tone)) (words::time(line.item.unix_seconds))
                        span { @if subject.is_none() { strong { (line.item.subject) } " " } (line.words) }
                    }
                }
            }
        }
    }
}

/// Beginnings and progress of single steps are left out: the steps themselves show them.
fn lines(items: &[Item]) -> Vec<Line<'_>> {
    let mut titles = BTreeMap::new();
    let mut lines = Vec::new();
    for item in items {
        let subject = item.subject.as_str();
        if let What::Planned { plan } = &item.event.what {
            titles.extend(plan.steps.iter().map(|step| ((subject, step.id.as_str()), step.title.as_str())));
        }
        let title =
            |step: &str| titles.get(&(subject, step)).map_or(step.to_owned(), |title| (*title).to_owned());
        let (tone, words) = match &item.event.what {
            What::Planned { plan } => (Tone::Off, format!("{} begins", plan.job)),
            What::Done { step } => (Tone::Good, title(step)),
            What::Retried { step, attempt, reason } => {
                (Tone::Attention, format!("{}, attempt {attempt}: {reason}", title(step)))
            }
            What::Failed { step, error } => (Tone::Failed, format!("{}: {error}", title(step))),
            What::Finished => (Tone::Good, "all steps are done".to_owned()),
            What::Started { .. } | What::Progress { .. } => continue,
        };
        lines.push(Line { item, tone, words });
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::feed::Feed;
    use cairn_workflow::{Event, Plan, Step};
    use std::time::SystemTime;

    #[test]
    fn the_newest_comes_first_by_its_title_and_of_one_node_where_one_is_meant() {
        let feed = Feed::new(SystemTime::UNIX_EPOCH);
        let plan = |node: &str| Plan::new("install", node, vec![Step::new("copy", "Copy <it>")]);
        for node in ["etcd-1", "etcd-2"] {
            feed.push(node.into(), Event { number: 1, what: What::Planned { plan: plan(node) } });
        }
        let failed = What::Failed { step: "copy".into(), error: "disk full".into() };
        feed.push("etcd-2".into(), Event { number: 2, what: failed });
        let all = history(&feed.after(0), None).into_string();
        let (first, last) = (all.find("disk full").unwrap(), all.find("etcd-1").unwrap());
        assert!(first < last && all.contains("Copy &lt;it&gt;: disk full"), "{all}");
        let one = history(&feed.after(0), Some("etcd-1")).into_string();
        assert!(one.contains("install begins") && !one.contains("disk full"), "{one}");
    }
}
