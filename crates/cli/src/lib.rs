//! The command line of Cairn.
//!
//! A thin shell: `cairn file` uses the vault, `cairn artifacts` the store, `cairn manager` runs the manager,
//! `cairn lab` the virtual hardware, and everything else talks to a running manager over its HTTP API ([`client`]). It decides
//! nothing that the page could not decide.

#![forbid(unsafe_code)]
#![deny(clippy::print_stdout, clippy::print_stderr)]

pub mod artifacts;
pub mod client;
pub mod consent;
pub mod events;
pub mod exit;
pub mod file;
pub mod health;
pub mod kubeconfig;
pub mod lab;
pub mod manager;
pub mod medium;
pub mod network;
pub mod node;
pub mod out;
pub mod passphrase;
pub mod power;
pub mod private;
pub mod progress;
pub mod reference;
pub mod secure_boot;
pub mod setup;
pub mod static_address;
pub mod status;
pub mod wifi;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// A private cloud out of a few machines at home.
#[derive(Debug, Parser)]
#[command(name = "cairn", version, arg_required_else_help = true, after_help = exit::HELP)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// The cluster file: the whole configuration and every secret, sealed with one passphrase
    #[command(subcommand)]
    File(file::FileCommand),
    /// Run the manager, with its web page
    Manager(manager::ManagerArguments),
    /// Set a cluster up, from its name to healthy machines, in one dialogue
    Setup(setup::SetupArguments),
    /// Whether the manager answers: for the health check of its container
    Health(health::HealthArguments),
    /// How the cluster is
    Status(status::StatusArguments),
    /// Unlock all nodes, and wait until the cluster is healthy
    Start(power::StartArguments),
    /// Power all nodes off, in the order of their roles
    Shutdown(power::ShutdownArguments),
    /// Nodes, and machines that may become nodes
    #[command(subcommand)]
    Node(node::NodeCommand),
    /// What opens Kubernetes, from a node that runs it
    Kubeconfig(kubeconfig::KubeconfigArguments),
    /// The certificate that machines with Secure Boot on have to trust
    SecureBoot(secure_boot::SecureBootArguments),
    /// What the manager sees of the network, and what is in the way
    Network(network::NetworkArguments),
    /// What comes from outside the node image, such as k3s
    #[command(subcommand)]
    Artifacts(artifacts::ArtifactsCommand),
    /// A cluster of virtual machines, for trying and testing
    Lab(lab::LabArguments),
    /// Print a script that makes a shell complete commands and options
    Completion(reference::CompletionArguments),
    /// Write man pages, one for each command
    Man(reference::ManArguments),
    /// Print the description of the manager's API (OpenAPI 3.1)
    Openapi,
}

/// Runs a command and gives the exit code; see [`exit`]. What was typed wrong is clap's to say.
pub fn run(arguments: Arguments) -> ExitCode {
    let result = match arguments.command {
        Command::File(command) => file::run(command),
        Command::Setup(arguments) => setup::run(&arguments),
        Command::Manager(arguments) => manager::run(arguments),
        Command::Health(arguments) => health::run(&arguments).map(|()| ExitCode::SUCCESS),
        Command::Status(arguments) => status::run(&arguments),
        Command::Start(arguments) => power::start(&arguments),
        Command::Shutdown(arguments) => power::shut_down(&arguments),
        Command::Node(command) => node::run(command).map(|()| ExitCode::SUCCESS),
        Command::Kubeconfig(arguments) => kubeconfig::run(&arguments).map(|()| ExitCode::SUCCESS),
        Command::SecureBoot(arguments) => secure_boot::run(&arguments).map(|()| ExitCode::SUCCESS),
        Command::Network(arguments) => network::run(&arguments).map(|()| ExitCode::SUCCESS),
        Command::Artifacts(command) => artifacts::run(command),
        Command::Lab(arguments) => lab::run(arguments),
        Command::Completion(arguments) => reference::completion(&arguments).map(|()| ExitCode::SUCCESS),
        Command::Man(arguments) => reference::man(&arguments).map(|()| ExitCode::SUCCESS),
        Command::Openapi => reference::openapi().map(|()| ExitCode::SUCCESS),
    };
    result.unwrap_or_else(|error| {
        if out::is_unread(&error) {
            return exit::unread();
        }
        note!("cairn: {error:#}");
        ExitCode::FAILURE
    })
}
