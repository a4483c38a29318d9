//! Firmware that has Secure Boot on, and trusts one certificate.

use crate::world::{World, path};
use anyhow::{Result, ensure};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Who put the certificate there: any number will do.
const OWNER: &str = "c41a1d2e-7f8b-4c55-9d3a-5a6b7c8d9e0f";

/// The certificate (DER) that `cairn` gives for this purpose.
pub fn own_certificate(world: &World) -> Result<PathBuf> {
    let certificate = world.scratch.join("own.cer");
    let _ = std::fs::remove_file(&certificate);
    let answer = world.cairn(&["secure-boot", "--output", path(&certificate)?])?;
    ensure!(answer.is_ok(), "{}", answer.words());
    Ok(certificate)
}

/// The variables of such a firmware, as if its owner had enrolled the certificate (DER).
pub fn trusting(world: &World, certificate: &Path) -> Result<PathBuf> {
    let [pem, variables] = ["pem", "fd"].map(|ending| certificate.with_extension(ending));
    let mut convert = Command::new("openssl");
    convert.args(["x509", "-inform", "der", "-in", path(certificate)?, "-out", path(&pem)?]);
    world.demand(&mut convert)?;
    let tools = std::path::absolute(".state/tools")?;
    let mut enroll = Command::new(tools.join("bin/virt-fw-vars"));
    enroll.arg("--input").arg(tools.join("qemu/OVMF_VARS.fd")).arg("--output").arg(&variables);
    for list in ["--set-pk", "--add-kek", "--add-db"] {
        enroll.args([list, OWNER, path(&pem)?]);
    }
    world.demand(enroll.args(["--no-microsoft", "--sb"]))?;
    Ok(variables)
}

/// A certificate (DER) of somebody else.
pub fn somebodys_certificate(world: &World) -> Result<PathBuf> {
    let certificate = world.scratch.join("somebody.cer");
    let mut make = Command::new("openssl");
    make.args([
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-subj",
        "/CN=somebody",
        "-keyout",
        "/dev/null",
    ]);
    world.demand(make.args(["-outform", "der", "-out", path(&certificate)?]))?;
    Ok(certificate)
}
