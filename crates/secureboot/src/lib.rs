//! Signs UEFI programs for Secure Boot with a key that follows from one secret.
//!
//! Firmware starts a program when the certificate of whoever signed it is in its list (`db`). Nobody vouches for
//! Cairn there; the owner's own certificate does, once it has been put into that list. [`SigningKey`] is that key:
//! RSA with 2,048 bits, the one kind that every firmware takes (UEFI 2.10, section 32.5.1), derived, so that it is
//! nothing more to keep. [`sign`] writes the signature into the program (Authenticode, as Microsoft's "Windows
//! Authenticode Portable Executable Signature Format" of 2008 describes it). Pure: no file is read or written here.

mod key;
mod sign;

pub use key::{KeyError, SigningKey};
pub use sign::{SignError, sign};
