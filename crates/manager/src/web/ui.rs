//! The parts that pages are made of. Each is a small function, and the only place that knows its classes.

mod blink;
mod confirm;
mod copy;
mod field;
mod icon;
mod id;
mod log;
mod mark;
mod notice;
mod qr;
mod steps;

pub use blink::blink;
pub use confirm::{confirm, confirm_tile};
pub use copy::copy_button;
pub use field::{Choice, password, pasted, secret, select, text, tick};
pub use icon::{Icon, icon};
pub use id::part;
pub use log::log;
pub use mark::{Tone, mark, state};
pub use notice::{empty, notice, refused};
pub use qr::qr;
pub use steps::{job, meter, running_step};
