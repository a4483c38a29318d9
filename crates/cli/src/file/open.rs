//! `cairn file open`.

use std::io::Write;

use super::{FileArguments, describe};
use cairn_model::cluster::Role;
use clap::Args;

/// Arguments of `cairn file open`.
#[derive(Debug, Args)]
pub struct OpenArguments {
    #[command(flatten)]
    file: FileArguments,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &OpenArguments, out: &mut impl Write) -> anyhow::Result<()> {
    let OpenArguments { file, json } = arguments;
    let opened = file.open()?;
    let cluster = opened.file.cluster();
    if *json {
        let room = opened.sealed.room();
        let about = serde_json::json!({
            "cluster": cluster.name,
            "generation": cluster.generation,
            "hash": opened.file.hash(),
            "characters": opened.sealed.characters(),
            "characters_left": room.left(),
            "fits_a_note": room.fits_a_note(),
        });
        writeln!(out, "{about:#}")?;
        return Ok(());
    }
    describe(&opened.path, &opened.sealed, out)?;
    let nodes = Role::ALL.map(|role| {
        let (places, taken) = cluster
            .nodes_of(role)
            .fold((0, 0), |(places, taken), node| (places + 1, taken + u8::from(node.enrolled.is_some())));
        format!("{taken} of {places} {role}")
    });
    writeln!(out, "The passphrase opens it. Machines that have joined: {}.", nodes.join(", "))?;
    Ok(())
}
