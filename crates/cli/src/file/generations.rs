//! `cairn file generations`: several copies of cluster files, in order.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::exit;
use crate::out::json_text;
use crate::passphrase::{self, PassphraseArguments};
use cairn_vault::file::lineage::{self, FileCopy, Generation, Lineage, Newest};
use cairn_vault::file::{ClusterFile, OpenError, Passphrase, changes, disk};
use clap::Args;
use serde::Serialize;

/// Arguments of `cairn file generations`.
#[derive(Debug, Args)]
pub struct GenerationsArguments {
    /// The copies, of one cluster or of several
    #[arg(required = true)]
    files: Vec<PathBuf>,
    #[command(flatten)]
    passphrase: PassphraseArguments,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report {
    clusters: Vec<Lineage>,
    not_opened: Vec<NotOpened>,
}

#[derive(Serialize)]
struct NotOpened {
    file: String,
    why: String,
}

pub(super) fn run(arguments: &GenerationsArguments, out: &mut impl Write) -> anyhow::Result<ExitCode> {
    let GenerationsArguments { files, passphrase, json } = arguments;
    let given = passphrase.given()?;
    let asks = given.is_none();
    let mut known = given;
    let (mut opened, mut copies, mut not_opened) = (Vec::new(), Vec::new(), Vec::new());
    for path in files {
        let label = path.display().to_string();
        match open(path, &mut known, asks) {
            Ok(file) => {
                copies.push(FileCopy::of(label, &file));
                opened.push(file);
            }
            Err(error) => not_opened.push(NotOpened { file: label, why: format!("{error:#}") }),
        }
    }
    let report = Report { clusters: lineage::order(&copies), not_opened };
    if *json {
        writeln!(out, "{}", json_text(&report)?)?;
    } else {
        report.print(&opened, out)?;
    }
    let diverged = report.clusters.iter().any(|it| matches!(it.newest, Newest::Diverged { .. }));
    Ok(match report.not_opened.is_empty() {
        _ if diverged => exit::not_well(),
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

/// Tries the passphrase that opened the last one first: a later copy may have another.
fn open(path: &Path, known: &mut Option<Passphrase>, asks: bool) -> anyhow::Result<ClusterFile> {
    let sealed = disk::load(path)?;
    if let Some(passphrase) = known {
        match ClusterFile::open(&sealed, passphrase) {
            Err(OpenError::WrongPassphrase) if asks => {}
            opened => return Ok(opened?),
        }
    }
    let typed = passphrase::ask(&format!("Passphrase of {}: ", path.display()), passphrase::GIVE)?;
    let file = ClusterFile::open(&sealed, &typed)?;
    *known = Some(typed);
    Ok(file)
}

impl Report {
    fn print(&self, opened: &[ClusterFile], out: &mut impl Write) -> std::io::Result<()> {
        for Lineage { cluster, generations, newest } in &self.clusters {
            writeln!(out, "The cluster '{cluster}', newest first:")?;
            for Generation { generation, hash, parent, parent_at_hand, copies } in generations {
                let origin = match parent {
                    None => "the first".to_owned(),
                    Some(parent) if *parent_at_hand => format!("made from {parent}"),
                    Some(parent) => format!("made from {parent}, which is not here"),
                };
                writeln!(out, "  {generation:>4}  {hash}  {origin}")?;
                for copy in copies {
                    writeln!(out, "        {copy}")?;
                }
            }
            match newest {
                Newest::Proven { .. } if generations.len() == 1 => {
                    writeln!(out, "  There is no other generation here to compare it with.")?;
                }
                Newest::Proven { hash } => writeln!(out, "  {hash} is the newest; all others lead to it.")?,
                Newest::Likely { hash } => writeln!(
                    out,
                    "  {hash} has the highest number. Generations in between are not here, so that it comes from the others is likely, not proven."
                )?,
                Newest::Diverged { hashes } => print_diverged(hashes, opened, out)?,
            }
        }
        for NotOpened { file, why } in &self.not_opened {
            writeln!(out, "{file} is left out: {why}")?;
        }
        Ok(())
    }
}

fn print_diverged(hashes: &[String], opened: &[ClusterFile], out: &mut impl Write) -> std::io::Result<()> {
    writeln!(
        out,
        "  These went different ways: {}. Nothing is merged: find out which one the machines follow, go on with that, and take over by 'cairn file edit' what only the other has.",
        hashes.join(" and ")
    )?;
    let file = |hash: &String| opened.iter().find(|file| file.hash() == hash);
    let mut ways = hashes.iter().filter_map(file);
    let Some(first) = ways.next() else { return Ok(()) };
    for other in ways {
        writeln!(out, "  From {} to {}:", first.hash(), other.hash())?;
        for line in changes(first.cluster(), other.cluster()) {
            writeln!(out, "    {line}")?;
        }
    }
    Ok(())
}
