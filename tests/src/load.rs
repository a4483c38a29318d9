//! The load of a k3s on etcd: many small objects, some writes, more reads, and watches, from inside the lab's network.

use crate::scenarios::etcd::CLIENT_FILES;
use crate::world::World;
use anyhow::{Context, Result, ensure};
use etcd_client::{
    Certificate, Client, ConnectOptions, Identity, PutOptions, TlsOptions, WatchOptions, WatchStream,
};
use serde_json::{Value, json};
use std::path::Path;
use std::process::{Command, ExitCode};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

pub const COMMAND: &str = "etcd-load";
const KEYS: u64 = 5_000;
const VALUE_BYTES: usize = 2_000;
const WRITES_A_SECOND: u32 = 50;
const READS_A_SECOND: u32 = 200;
/// As many as there are kinds of objects.
const WATCHES: u64 = 100;
/// Requests under way; what would be more is left out and counted.
const AT_ONCE: usize = 250;
/// Of those that fill an empty etcd.
const FILLING: usize = 20;
/// Kubernetes' API server gives up on a request to etcd no sooner.
const PATIENCE: Duration = Duration::from_secs(60);

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
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let told = runtime.block_on(load(folder, Duration::from_secs(seconds), endpoints))?;
    println!("{told}");
    Ok(ExitCode::SUCCESS)
}

async fn load(folder: &Path, lasting: Duration, endpoints: &[&str]) -> Result<Value> {
    let clients = clients(folder, endpoints).await?;
    let began = Instant::now();
    fill(&clients).await?;
    let filled = began.elapsed();

    let events = Arc::new(AtomicU64::new(0));
    let mut watches = JoinSet::new();
    for number in 0..WATCHES {
        let options = WatchOptions::new().with_prefix();
        let stream = clients.of(number).watch(kind(number), Some(options)).await.context("a watch")?;
        watches.spawn(watch(stream, Arc::clone(&events)));
    }
    let writes = paced(WRITES_A_SECOND, lasting, |number| write(clients.of(number), key(number)));
    let reads = paced(READS_A_SECOND, lasting, |number| read(clients.of(number), key(number)));
    let (writes, reads) = tokio::try_join!(writes, reads)?;
    if let Some(ended) = watches.try_join_next() {
        ended?.context("a watch ended before the load did")?;
    }
    let events = events.load(Ordering::Relaxed);
    ensure!(events > 0, "no watch saw a write");
    Ok(json!({ "filled_seconds": filled.as_secs(), "watches": WATCHES, "events": events,
        "writes": writes, "reads": reads }))
}

/// One connection to each member, for all requests.
struct Clients {
    first: Client,
    others: Vec<Client>,
}

impl Clients {
    fn of(&self, number: u64) -> Client {
        let index = usize::try_from(number).unwrap_or(0) % (self.others.len() + 1);
        index.checked_sub(1).and_then(|other| self.others.get(other)).unwrap_or(&self.first).clone()
    }
}

async fn clients(folder: &Path, endpoints: &[&str]) -> Result<Clients> {
    let [authority, certificate, key] = CLIENT_FILES.map(|file| std::fs::read(folder.join(file)));
    let tls = TlsOptions::new()
        .ca_certificate(Certificate::from_pem(authority?))
        .identity(Identity::from_pem(certificate?, key?));
    let options = ConnectOptions::new().with_tls(tls).with_timeout(PATIENCE);
    let mut clients = Vec::new();
    for endpoint in endpoints {
        let client = Client::connect([endpoint], Some(options.clone())).await;
        clients.push(client.with_context(|| (*endpoint).to_owned())?);
    }
    let first = clients.pop().context("no endpoint was named")?;
    Ok(Clients { first, others: clients })
}

async fn fill(clients: &Clients) -> Result<()> {
    let mut under_way = JoinSet::new();
    for key in 0..KEYS {
        if under_way.len() >= FILLING
            && let Some(ended) = under_way.join_next().await
        {
            ended??;
        }
        under_way.spawn(write(clients.of(key), key));
    }
    while let Some(ended) = under_way.join_next().await {
        ended??;
    }
    Ok(())
}

/// So many requests a second, whether those before were answered or not.
async fn paced<F>(a_second: u32, lasting: Duration, request: impl Fn(u64) -> F) -> Result<Value>
where
    F: Future<Output = Result<()>> + Send + 'static,
{
    let times = Arc::new(Times::default());
    let room = Arc::new(Semaphore::new(AT_ONCE));
    let mut left_out = 0_u64;
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / a_second);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut under_way = JoinSet::new();
    for number in 0..lasting.as_secs() * u64::from(a_second) {
        ticks.tick().await;
        let Ok(permit) = room.clone().try_acquire_owned() else {
            left_out += 1;
            continue;
        };
        let (request, times) = (request(number), Arc::clone(&times));
        under_way.spawn(async move {
            let began = Instant::now();
            request.await?;
            times.add(began.elapsed());
            drop(permit);
            anyhow::Ok(())
        });
        while let Some(ended) = under_way.try_join_next() {
            ended??;
        }
    }
    while let Some(ended) = under_way.join_next().await {
        ended??;
    }
    Ok(times.told(left_out))
}

/// How long each request took.
#[derive(Default)]
struct Times(Mutex<Vec<Duration>>);

impl Times {
    fn add(&self, took: Duration) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(took);
    }

    fn told(&self, left_out: u64) -> Value {
        let mut times = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        times.sort_unstable();
        let at = |hundredths: usize| times.get(times.len().saturating_sub(1) * hundredths / 100);
        let ms = |hundredths| at(hundredths).map(Duration::as_millis);
        json!({ "answered": times.len(), "left_out": left_out, "half_within_ms": ms(50), "p99_ms": ms(99),
            "slowest_ms": ms(100) })
    }
}

/// Which key a request is for: all of them in turn, in no order.
fn key(number: u64) -> u64 {
    number.wrapping_mul(2_654_435_761) % KEYS
}

/// The folder of a key, as Kubernetes has one for each kind of object.
fn kind(key: u64) -> String {
    format!("/registry/load-{:03}/", key % WATCHES)
}

fn name(key: u64) -> String {
    format!("{}{key:05}", kind(key))
}

async fn write(mut client: Client, key: u64) -> Result<()> {
    let value: Vec<u8> = key.to_le_bytes().into_iter().cycle().take(VALUE_BYTES).collect();
    client.put(name(key), value, None::<PutOptions>).await.context("a write")?;
    Ok(())
}

async fn read(mut client: Client, key: u64) -> Result<()> {
    let answer = client.get(name(key), None).await.context("a read")?;
    ensure!(answer.count() == 1, "a key that was written is not there: {}", name(key));
    Ok(())
}

/// One of a hundred: Kubernetes' API server has one for each kind of object, and serves all who watch it from that.
async fn watch(mut stream: WatchStream, events: Arc<AtomicU64>) -> Result<()> {
    while let Some(answer) = stream.message().await? {
        ensure!(!answer.canceled(), "etcd ended it: {}", answer.cancel_reason());
        events.fetch_add(answer.events().len() as u64, Ordering::Relaxed);
    }
    anyhow::bail!("etcd closed it")
}
