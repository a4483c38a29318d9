//! Fetching and pulling from a real server on loopback.

#![cfg(test)]

mod fetch;
mod pull;
mod upstream;
