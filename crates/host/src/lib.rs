//! The machine that the manager runs on, as far as an owner has to know it when something is in the way.
//!
//! [`interface`] lists its network cards, [`port`] says which process holds a port and how to free it,
//! [`sight`] whether this machine sees the owner's network at all, and [`scan`] who else is on it; [`serial`]
//! opens its serial adapters, [`usb_boot`] sees Raspberry Pis that wait on its USB, and [`rights`] says what this
//! process may do. It changes nothing, and nothing but a
//! scan sends anything. It knows neither clusters nor network boot.
//!
//! Each module is a pure function over what the kernel tells, with a thin reader beside it. Start reading
//! at [`port::sockets`].

#![forbid(unsafe_code)]

pub mod interface;
pub mod port;
pub mod rights;
pub mod scan;
pub mod serial;
pub mod sight;
pub mod usb_boot;
