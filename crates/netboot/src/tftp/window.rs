//! The sender's side of one transfer, without sockets: which blocks are to be sent now.
//!
//! Blocks count from 1 without end here; on the wire they are 16 bits. An acknowledgement is taken to mean
//! the one block of the current window with these 16 bits, so the numbers may roll over.

/// A transfer of a file in blocks, at most a window of them unacknowledged.
#[derive(Debug, Clone)]
pub struct Window {
    /// The last block of the file; it is short, or empty.
    last: u64,
    size: u64,
    /// All blocks up to this one have arrived.
    acked: u64,
    /// Whether the block after `acked` was already sent a second time since the last progress.
    repeated: bool,
}

/// What an acknowledgement means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Send these blocks, first and last.
    Send(u64, u64),
    /// Wait on.
    Wait,
    /// Everything has arrived.
    Done,
}

impl Window {
    /// For a file of `bytes`. Its last block is the first that is not full (RFC 1350, section 2).
    pub fn new(bytes: u64, block: u16, window: u16) -> Self {
        let block = u64::from(block.max(1));
        Self { last: bytes / block + 1, size: u64::from(window.max(1)), acked: 0, repeated: false }
    }

    /// How many blocks have arrived.
    pub fn acked(&self) -> u64 {
        self.acked
    }

    /// The blocks of the current window: to be sent first, and again after a time-out.
    pub fn current(&self) -> Next {
        match self.acked >= self.last {
            true => Next::Done,
            false => Next::Send(self.acked + 1, self.last.min(self.acked + self.size)),
        }
    }

    /// The client acknowledges the block with these 16 bits.
    pub fn ack(&mut self, number: u16) -> Next {
        let [.., high, low] = self.acked.to_be_bytes();
        let ahead = u64::from(number.wrapping_sub(u16::from_be_bytes([high, low])));
        let sent = self.last.min(self.acked + self.size) - self.acked;
        match ahead {
            // The same again: in lock-step it is a stray copy, and answering it would double every packet
            // from there on (the "sorcerer's apprentice"). In a window it says that the first block was
            // lost, and is believed once.
            0 if self.size > 1 && !self.repeated && self.acked > 0 => {
                self.repeated = true;
                self.current()
            }
            1.. if ahead <= sent => {
                self.acked += ahead;
                self.repeated = false;
                self.current()
            }
            _ => Next::Wait,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_file_that_fills_its_blocks_ends_with_an_empty_one() {
        assert_eq!(Window::new(1024, 512, 4).current(), Next::Send(1, 3));
        assert_eq!(Window::new(0, 512, 4).current(), Next::Send(1, 1));
        assert_eq!(Window::new(1023, 512, 4).current(), Next::Send(1, 2));
    }

    #[test]
    fn a_repeated_acknowledgement_in_lock_step_sends_nothing_twice() {
        let mut window = Window::new(5000, 512, 1);
        assert_eq!(window.ack(1), Next::Send(2, 2));
        assert_eq!(window.ack(1), Next::Wait);
        assert_eq!(window.ack(9), Next::Wait);
    }

    #[test]
    fn a_gap_in_a_window_is_sent_again_at_once_but_only_once() {
        let mut window = Window::new(50_000, 512, 4);
        assert_eq!(window.ack(2), Next::Send(3, 6));
        assert_eq!(window.ack(2), Next::Send(3, 6));
        assert_eq!(window.ack(2), Next::Wait);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60))]
        /// A client behind a wire that loses packets either way; blocks are counted past 65,535.
        #[test]
        fn every_block_arrives_in_order_over_a_lossy_wire(
            blocks in prop_oneof![1u64..50, 65_500u64..65_700, 131_050u64..131_200],
            size in 1u16..=64,
            losses in prop::collection::vec(any::<bool>(), 1..40),
        ) {
            let mut window = Window::new((blocks - 1) * 512, 512, size);
            let mut lost = losses.iter().cycle();
            let mut client = 0u64;
            let mut next = window.current();
            // Losses only in the first 500 exchanges, so that long files end.
            for exchange in 0u64.. {
                let (from, to) = match next {
                    Next::Send(from, to) => (from, to),
                    Next::Wait => match window.current() { Next::Send(f, t) => (f, t), _ => unreachable!() },
                    Next::Done => break,
                };
                prop_assert!(to - from < u64::from(size) && to <= blocks);
                let mut lose = || exchange < 500 && *lost.next().unwrap() && *lost.next().unwrap();
                for block in from..=to {
                    if !lose() && block as u16 == (client + 1) as u16 {
                        prop_assert_eq!(block, client + 1);
                        client += 1;
                    }
                }
                next = if lose() { Next::Wait } else { window.ack(client as u16) };
                prop_assert!(exchange < 600 + blocks);
            }
            prop_assert_eq!(client, blocks);
        }
    }
}
