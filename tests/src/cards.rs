//! Disks of the etcd machines that write as SD cards do.

use crate::world::World;
use anyhow::{Context, Result};
use cairn_lab::{Lab, WriteLimit};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::Duration;

/// A write each 1.3 ms, the mean that was measured on cards, and what the slowest speed class (10) promises.
const CARD: WriteLimit = WriteLimit { writes: 770, bytes: 10_000_000 };
/// The longest write measured on a card took 411 ms. QEMU lets a tenth of a second's worth of writes pass at once,
/// and the next waits for its turn.
const STALLED: WriteLimit = WriteLimit { writes: 3, bytes: 10_000_000 };
const STALL: Duration = Duration::from_millis(400);
/// One card stalls in each, all in turn.
const BETWEEN: Duration = Duration::from_secs(4);

/// What goes on until it is stopped.
pub struct Cards {
    stop: Sender<()>,
    thread: JoinHandle<Result<usize>>,
}

/// Makes the disks of these machines as slow as cards.
///
/// # Errors
/// When a machine is off.
pub fn imitate(world: &World, machines: &'static [&str]) -> Result<Cards> {
    let lab = world.lab()?;
    machines.iter().try_for_each(|machine| limit(&lab, machine, CARD))?;
    let (stop, stopped) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        let mut stalls = 0;
        for machine in machines.iter().cycle() {
            match stopped.recv_timeout(BETWEEN) {
                Err(RecvTimeoutError::Timeout) => {}
                Ok(()) | Err(RecvTimeoutError::Disconnected) => break,
            }
            limit(&lab, machine, STALLED)?;
            std::thread::sleep(STALL);
            limit(&lab, machine, CARD)?;
            stalls += 1;
        }
        Ok(stalls)
    });
    Ok(Cards { stop, thread })
}

impl Cards {
    /// Stalls no more; how often one did.
    ///
    /// # Errors
    /// When a machine went off meanwhile.
    pub fn stop(self) -> Result<usize> {
        drop(self.stop);
        self.thread.join().ok().context("what stalls the cards panicked")?
    }
}

fn limit(lab: &Lab, machine: &str, to: WriteLimit) -> Result<()> {
    Ok(lab.machine(machine)?.limit_writes(&format!("{machine}-disk"), to)?)
}
