//! The load of a k3s on etcd: many small objects, some writes, more reads, and watches, by etcd's JSON gateway from
//! inside the lab's network.

use crate::scenarios::etcd::CLIENT_FILES;
use crate::world::World;
use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use ureq::Agent;
use ureq::tls::{Certificate, ClientCert, PemItem, PrivateKey, RootCerts, TlsConfig, parse_pem};

pub const COMMAND: &str = "etcd-load";
const KEYS: u64 = 5_000;
const VALUE_BYTES: usize = 2_000;
const WRITES_A_SECOND: u64 = 50;
const READS_A_SECOND: u64 = 200;
const WATCHES: usize = 100;
const WORKERS: u64 = 10;

/// Puts the load on the members; what it printed.
///
/// # Errors
/// When a request failed or a watch saw nothing.
pub fn put_on(world: &World, seconds: u64) -> Result<Value> {
    crate::scenarios::etcd::client_files(world, "etcd-1")?;
    let own = std::env::current_exe()?;
    let mut command: Command =
        world.lab()?.command(own.to_str().context("this program's path is not UTF-8")?);
    command.arg(COMMAND).arg(&world.scratch).arg(seconds.to_string());
    command.args(crate::scenarios::etcd::endpoints(world)?);
    let limit = Duration::from_secs(seconds.saturating_add(600));
    let answer = crate::command::run(&mut command, &world.scratch, limit)?;
    ensure!(answer.is_ok(), "the load ended with {}: {}", answer.code, answer.words());
    Ok(serde_json::from_slice(&answer.stdout)?)
}

/// # Errors
/// As [`put_on`].
pub fn run(folder: &Path, seconds: u64, endpoints: &[&str]) -> Result<ExitCode> {
    ensure!(!endpoints.is_empty(), "no endpoint was named");
    let agent = agent(folder)?;
    let counts = Arc::new(Counts::default());
    let began = Instant::now();
    spread(endpoints, |endpoint, worker| {
        for key in (worker..KEYS).step_by(WORKERS as usize) {
            write(&agent, endpoint, key)?;
        }
        Ok(())
    })?;
    let filled = began.elapsed();
    for number in 0..WATCHES {
        let (agent, counts) = (agent.clone(), Arc::clone(&counts));
        let endpoint = pick(endpoints, number as u64).to_owned();
        // they end with this program
        std::thread::spawn(move || watch(&agent, &endpoint, number as u64, &counts));
    }
    let end = Instant::now() + Duration::from_secs(seconds);
    spread(endpoints, |endpoint, worker| paced(&agent, endpoint, worker, end, &counts))?;
    let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
    let slowest = |count: &AtomicU64| of(count) / 1_000;
    let told = json!({
        "filled_seconds": filled.as_secs(),
        "writes": of(&counts.writes),
        "reads": of(&counts.reads),
        "events": of(&counts.events),
        "watches": of(&counts.watches),
        "slowest_write_ms": slowest(&counts.slowest_write),
        "slowest_read_ms": slowest(&counts.slowest_read),
    });
    println!("{told}");
    ensure!(of(&counts.events) > 0, "no watch saw a write");
    ensure!(!counts.watch_lost.load(Ordering::Relaxed), "a watch ended before the load did");
    Ok(ExitCode::SUCCESS)
}

#[derive(Default)]
struct Counts {
    writes: AtomicU64,
    reads: AtomicU64,
    watches: AtomicU64,
    events: AtomicU64,
    /// In microseconds, as the next.
    slowest_write: AtomicU64,
    slowest_read: AtomicU64,
    watch_lost: AtomicBool,
}

fn agent(folder: &Path) -> Result<Agent> {
    let [authority, certificate, key] = CLIENT_FILES.map(|file| std::fs::read(folder.join(file)));
    let authority = Certificate::from_pem(&authority?)?.to_owned();
    let chain: Vec<Certificate<'static>> = parse_pem(&certificate?)
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        })
        .collect();
    let key = PrivateKey::from_pem(&key?)?;
    let tls = TlsConfig::builder()
        .root_certs(RootCerts::from(std::iter::once(authority)))
        .client_cert(Some(ClientCert::new_with_certs(&chain, key)))
        .build();
    Ok(Agent::config_builder().tls_config(tls).max_idle_connections_per_host(64).build().into())
}

fn pick<'a>(endpoints: &[&'a str], number: u64) -> &'a str {
    let index = usize::try_from(number).unwrap_or(0).checked_rem(endpoints.len()).unwrap_or(0);
    endpoints.get(index).copied().unwrap_or_default()
}

/// The same work by each worker, on the members in turn.
fn spread(endpoints: &[&str], work: impl Fn(&str, u64) -> Result<()> + Sync) -> Result<()> {
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..WORKERS)
            .map(|worker| {
                let work = &work;
                scope.spawn(move || work(pick(endpoints, worker), worker))
            })
            .collect();
        workers.into_iter().try_for_each(|worker| {
            worker.join().unwrap_or_else(|_| Err(anyhow::anyhow!("a worker of the load panicked")))
        })
    })
}

/// Its part of the writes and reads, evenly over the time; what comes late is not made up for.
fn paced(agent: &Agent, endpoint: &str, worker: u64, end: Instant, counts: &Counts) -> Result<()> {
    let every = Duration::from_secs(WORKERS) / u32::try_from(WRITES_A_SECOND + READS_A_SECOND)?;
    let one_write_in = (WRITES_A_SECOND + READS_A_SECOND) / WRITES_A_SECOND;
    let mut number = worker.wrapping_mul(7919);
    while Instant::now() < end {
        let began = Instant::now();
        number = number.wrapping_add(1);
        let key = number.wrapping_mul(2_654_435_761) % KEYS;
        let (count, slowest) = if number.is_multiple_of(one_write_in) {
            write(agent, endpoint, key)?;
            (&counts.writes, &counts.slowest_write)
        } else {
            read(agent, endpoint, key)?;
            (&counts.reads, &counts.slowest_read)
        };
        count.fetch_add(1, Ordering::Relaxed);
        let took = began.elapsed();
        slowest.fetch_max(took.as_micros().try_into().unwrap_or(u64::MAX), Ordering::Relaxed);
        std::thread::sleep(every.saturating_sub(took));
    }
    Ok(())
}

fn name(key: u64) -> String {
    STANDARD.encode(format!("/registry/load/{key:05}"))
}

fn write(agent: &Agent, endpoint: &str, key: u64) -> Result<()> {
    let mut value = vec![0_u8; VALUE_BYTES];
    let stamp = key.to_le_bytes();
    value.iter_mut().zip(stamp.iter().cycle()).for_each(|(to, from)| *to = *from);
    let request = json!({ "key": name(key), "value": STANDARD.encode(&value) });
    post(agent, endpoint, "kv/put", &request).map(drop)
}

fn read(agent: &Agent, endpoint: &str, key: u64) -> Result<()> {
    let answer = post(agent, endpoint, "kv/range", &json!({ "key": name(key) }))?;
    ensure!(
        answer.get("count").is_some_and(|count| count == "1"),
        "a key that was written is not there: {answer}"
    );
    Ok(())
}

fn post(agent: &Agent, endpoint: &str, what: &str, request: &Value) -> Result<Value> {
    let url = format!("{endpoint}/v3/{what}");
    let mut answer = agent.post(&url).send(request.to_string()).with_context(|| url.clone())?;
    Ok(serde_json::from_str(&answer.body_mut().read_to_string()?)?)
}

/// One of a hundred: each sees all keys, as a controller does.
fn watch(agent: &Agent, endpoint: &str, number: u64, counts: &Counts) {
    let all =
        json!({ "create_request": { "key": name(0), "range_end": STANDARD.encode("/registry/load0") } });
    let url = format!("{endpoint}/v3/watch");
    if let Ok(answer) = agent.post(&url).send(all.to_string()) {
        counts.watches.fetch_add(1, Ordering::Relaxed);
        let lines = BufReader::new(answer.into_body().into_reader()).lines();
        for _ in lines.map_while(Result::ok).skip(1) {
            counts.events.fetch_add(1, Ordering::Relaxed);
        }
    }
    eprintln!("watch {number} on {endpoint} ended");
    counts.watch_lost.store(true, Ordering::Relaxed);
}
