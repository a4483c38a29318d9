//! `cairn file rotate`: the next value of a class of secrets, and what that is good for today.

use std::io::Write;

use super::FileArguments;
use anyhow::bail;
use cairn_model::cluster::SecretClass;
use clap::Args;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};

/// Arguments of `cairn file rotate`.
#[derive(Debug, Args)]
pub struct RotateArguments {
    #[command(flatten)]
    file: FileArguments,
    /// Which class of secrets
    #[arg(value_parser = class_parser())]
    class: SecretClass,
    /// Rotate even what machines that have joined would not follow
    #[arg(long)]
    force: bool,
}

/// What raising a class's epoch does today.
struct Effect {
    what: &'static str,
    does: &'static str,
    does_not: &'static str,
    /// Machines that have joined keep the old value, and nothing tells them of the new one yet.
    parts: bool,
}

fn effect(class: SecretClass) -> Effect {
    match class {
        SecretClass::Agents => Effect {
            what: "the authority of agents and manager",
            does: "a manager with this file is another authority's, and so are machines that join from now on",
            does_not: "machines that have joined trust only the old authority: a manager with this file can neither reach nor unlock them",
            parts: true,
        },
        SecretClass::EtcdPeers => Effect {
            what: "the authority of etcd's members among each other",
            does: "machines that join from now on get certificates of the new authority",
            does_not: "members that run trust only the old one: a new machine can't join them",
            parts: true,
        },
        SecretClass::EtcdServers => Effect {
            what: "the authority of what etcd shows to its clients",
            does: "machines that join from now on get certificates of the new authority",
            does_not: "members that run keep their old certificates: a manager with this file does not believe them, nor do new machines",
            parts: true,
        },
        SecretClass::EtcdClients => Effect {
            what: "the authority of etcd's clients",
            does: "machines that join from now on get certificates of the new authority",
            does_not: "members that run trust only the old one: they refuse a manager with this file and new machines, and go on taking certificates that got into wrong hands",
            parts: true,
        },
        SecretClass::K3sToken => Effect {
            what: "the token that k3s joins with",
            does: "machines that join from now on get the new token",
            does_not: "k3s on machines that have joined keeps the old one, and new machines can't join it",
            parts: true,
        },
        SecretClass::Luks => Effect {
            what: "recovery keys of encrypted volumes",
            does: "volumes that are made from now on have keys of the new epoch",
            does_not: "volumes that exist keep their keys, and old files still open them; a key that got into wrong hands is replaced only by installing that machine again",
            parts: false,
        },
        SecretClass::Join => Effect {
            what: "keys on prepared media",
            does: "media that were prepared before and have not been used no longer let a machine in, once the manager runs with this file",
            does_not: "a machine that has joined already stays a node",
            parts: false,
        },
        SecretClass::Backup => Effect {
            what: "passwords of backup repositories",
            does: "repositories that are made from now on have the new password",
            does_not: "there are no backups yet, so nothing else changes",
            parts: false,
        },
        SecretClass::SecureBoot => Effect {
            what: "the key that signs what machines with Secure Boot start",
            does: "what machines fetch and what media carry from now on is signed by the new key: put its certificate into the firmware of each machine that has Secure Boot on",
            does_not: "firmware that trusts the old certificate goes on doing so until that is deleted there",
            parts: false,
        },
    }
}

pub(super) fn run(arguments: &RotateArguments, out: &mut impl Write) -> anyhow::Result<()> {
    let RotateArguments { file, class, force } = arguments;
    let opened = file.open()?;
    let cluster = opened.file.cluster();
    let Effect { what, does, does_not, parts } = effect(*class);
    let joined = cluster.nodes.iter().filter(|node| node.enrolled.is_some()).count();
    if parts && joined > 0 && !force {
        bail!(
            "{what}: not rotated, since machines have joined ({joined}), and {does_not}. Cairn can't tell them yet. With --force the file is rotated all the same; keep the old one"
        );
    }
    let next = opened.file.next(|cluster| Ok(cluster.with_rotated(*class)))?;
    opened.tell_next(&opened.seal_next(&next)?, out)?;
    writeln!(out, "Epoch {} of {what} ('{}').", next.cluster().epochs.of(*class), class.label())?;
    writeln!(out, "  It does:      {does}.\n  It does not:  {does_not}.")?;
    writeln!(
        out,
        "The seed stays: who ever had a cluster file and its passphrase can derive the new secrets too."
    )?;
    Ok(())
}

fn class_parser() -> impl TypedValueParser<Value = SecretClass> {
    let values = SecretClass::ALL.map(|class| PossibleValue::new(class.label()).help(effect(class).what));
    PossibleValuesParser::new(values).try_map(|label| {
        let class = SecretClass::ALL.into_iter().find(|class| class.label() == label);
        class.ok_or_else(|| format!("'{label}' is no class of secrets"))
    })
}
