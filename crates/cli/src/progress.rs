//! What a person sees of long work: bars on a terminal, plain lines in a pipe.

use crate::{note, say};
use anyhow::Result;
use cairn_manager::api::{NodeStatus, Status};
use cairn_workflow::{EventLog, RowState, What};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

/// A dumb terminal moves its cursor no more than a pipe does.
fn draws() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("TERM").is_none_or(|kind| kind != "dumb")
}

/// One line per node, and what happened above it.
pub struct Board {
    started: Instant,
    bars: Option<MultiProgress>,
    lines: BTreeMap<String, (String, Option<ProgressBar>)>,
}

impl Default for Board {
    fn default() -> Self {
        Self::new()
    }
}

impl Board {
    pub fn new() -> Self {
        let bars = draws().then(MultiProgress::new);
        Self { started: Instant::now(), bars, lines: BTreeMap::new() }
    }

    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Something that happened once.
    ///
    /// # Errors
    /// When standard output can't be written.
    pub fn say(&self, text: &str) -> Result<()> {
        let line = format!("[{:6.1} s] {text}", self.started.elapsed().as_secs_f64());
        match &self.bars {
            Some(bars) => Ok(bars.println(line)?),
            None => say!("{line}"),
        }
    }

    /// Shows what changed since the last time.
    ///
    /// # Errors
    /// As [`Self::say`].
    pub fn show(&mut self, status: &Status) -> Result<()> {
        status.nodes.iter().try_for_each(|node| self.show_node(node))
    }

    fn show_node(&mut self, node: &NodeStatus) -> Result<()> {
        let (text, progress) = summary(node);
        let known = self.lines.get(&node.name).map(|(text, _)| text.as_str());
        let changed = known != Some(text.as_str());
        let bar = match self.lines.remove(&node.name) {
            Some((_, bar)) => bar,
            None => self.bars.as_ref().map(|bars| bars.add(new_bar(&node.name))),
        };
        if let Some(bar) = &bar {
            bar.set_style(style(if progress.is_some() { BYTES } else { WORDS }));
            if let Some((done, total)) = progress {
                bar.set_length(total);
                bar.set_position(done);
            }
            bar.set_message(text.clone());
            bar.tick();
        } else if changed {
            self.say(&format!("{}: {text}", node.name))?;
        }
        self.lines.insert(node.name.clone(), (text, bar));
        Ok(())
    }

    /// Does something else on the terminal meanwhile, such as asking.
    pub fn pause<T>(&self, work: impl FnOnce() -> T) -> T {
        match &self.bars {
            Some(bars) => bars.suspend(work),
            None => work(),
        }
    }

    /// Leaves the last state on the terminal.
    pub fn end(&self) {
        for (_, bar) in self.lines.values() {
            if let Some(bar) = bar {
                bar.abandon();
            }
        }
    }
}

const WORDS: &str = "{spinner} {prefix:12} {msg}";
const BYTES: &str = "{spinner} {prefix:12} {msg} {bytes}/{total_bytes}";

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

fn new_bar(name: &str) -> ProgressBar {
    ProgressBar::no_length().with_style(style(WORDS)).with_prefix(name.to_owned())
}

/// Something that is moved byte by byte, with the time that it will still take.
pub struct Transfer {
    title: String,
    bar: Option<ProgressBar>,
    /// In a pipe: the tenth that was told last, of so many bytes.
    told: Option<u64>,
    total: u64,
}

impl Transfer {
    pub fn new(title: &str) -> Self {
        let bar = draws().then(|| {
            let style = style("{prefix} {bar:30} {bytes}/{total_bytes}, {eta} left");
            ProgressBar::no_length().with_style(style).with_prefix(title.to_owned())
        });
        Self { title: title.to_owned(), told: bar.is_none().then_some(0), bar, total: 0 }
    }

    /// Tells nothing.
    pub fn silent() -> Self {
        Self { title: String::new(), bar: None, told: None, total: 0 }
    }

    pub fn begin(&mut self, total: u64) {
        self.total = total;
        if let Some(bar) = &self.bar {
            bar.set_length(total);
        }
    }

    pub fn at(&mut self, done: u64) {
        if let Some(bar) = &self.bar {
            bar.set_position(done);
        }
        let tenth = done.saturating_mul(10).checked_div(self.total).unwrap_or(0);
        if self.told.is_some_and(|told| tenth > told) {
            self.told = Some(tenth);
            note!("{}: {} of {} MB", self.title, done / 1_000_000, self.total / 1_000_000);
        }
    }

    pub fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish();
        }
    }
}

/// Shows a job of this very process while it runs: each step as a transfer, and each retry.
pub fn follow<T: Send>(log: &EventLog, work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let running = scope.spawn(work);
        let mut shown = Shown::default();
        while !running.is_finished() {
            shown.catch_up(log);
            std::thread::sleep(Duration::from_millis(100));
        }
        shown.catch_up(log);
        running.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// How far the events of a job have been shown.
#[derive(Default)]
struct Shown {
    last: u64,
    titles: BTreeMap<String, String>,
    current: Option<Transfer>,
}

impl Shown {
    fn catch_up(&mut self, log: &EventLog) {
        for event in log.after(self.last) {
            self.last = event.number;
            match event.what {
                What::Planned { plan } => {
                    self.titles = plan.steps.into_iter().map(|step| (step.id, step.title)).collect();
                }
                What::Started { step } => {
                    self.current = self.titles.get(&step).map(|title| Transfer::new(title));
                }
                What::Progress { done, total, .. } => {
                    if let Some(transfer) = &mut self.current {
                        transfer.begin(total);
                        transfer.at(done);
                    }
                }
                What::Retried { step, attempt, reason } => {
                    let title = self.titles.get(&step).unwrap_or(&step);
                    self.say(&format!("{title}: attempt {attempt} failed: {reason}"));
                }
                What::Done { step } => {
                    let title = self.titles.get(&step).unwrap_or(&step);
                    match self.current.take() {
                        Some(Transfer { bar: Some(bar), .. }) => bar.finish(),
                        _ => note!("{title}: done"),
                    }
                }
                // the error itself is told by who asked for the job
                What::Failed { .. } | What::Finished => drop(self.current.take()),
            }
        }
    }

    /// Above the bar, if there is one.
    fn say(&self, line: &str) {
        match self.current.as_ref().and_then(|transfer| transfer.bar.as_ref()) {
            Some(bar) => bar.println(line),
            None => note!("{line}"),
        }
    }
}

/// The phase, and the step that runs.
fn summary(node: &NodeStatus) -> (String, Option<(u64, u64)>) {
    let mut rows = node.job.iter().flat_map(|job| &job.rows);
    let current = rows.rfind(|row| matches!(row.state, RowState::Running | RowState::Failed));
    let mut text = node.phase.to_string();
    if let Some(row) = current {
        text.push_str(&format!(" - {}", row.title));
        if let Some(note) = &row.note {
            text.push_str(&format!(" ({note})"));
        }
    }
    for condition in &node.conditions {
        text.push_str(&format!("; {}", condition.message));
    }
    (text, current.and_then(|row| row.progress))
}
