#![doc = include_str!("../README.md")]

pub mod http;
pub mod leases;
pub mod owner;
pub mod peers;
pub mod repository;
