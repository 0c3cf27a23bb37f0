//! The Merkle tree of a frame, after RFC 6962 section 2.1 (Certificate Transparency), over SHA-256, with
//! Tillstream's own one-byte domain separators.

use sha2::{Digest, Sha256};

/// A SHA-256 digest.
pub type Hash = [u8; 32];

const EVENT_LEAF: u8 = 0x00;
pub(crate) const FRAME: u8 = 0x01;
const NODE: u8 = 0x02;
const COMMAND_LEAF: u8 = 0x03;

fn leaf(separator: u8, bytes: &[u8]) -> Hash {
    Sha256::new().chain_update([separator]).chain_update(bytes).finalize().into()
}

/// The leaf of one event: H(0x00 ‖ event bytes).
#[must_use]
pub fn event_leaf(bytes: &[u8]) -> Hash {
    leaf(EVENT_LEAF, bytes)
}

/// The leaf of one command record: H(0x03 ‖ record bytes).
#[must_use]
pub fn command_leaf(bytes: &[u8]) -> Hash {
    leaf(COMMAND_LEAF, bytes)
}

fn node(left: &Hash, right: &Hash) -> Hash {
    Sha256::new().chain_update([NODE]).chain_update(left).chain_update(right).finalize().into()
}

/// The largest power of two below `n`, for n > 1: where RFC 6962 splits a tree of n leaves.
fn split(n: usize) -> usize {
    n.next_power_of_two() / 2
}

/// The root over the leaves in order; of none, SHA-256 of nothing.
#[must_use]
pub fn root(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => Sha256::digest([]).into(),
        [one] => *one,
        many => {
            let (left, right) = many.split_at(split(many.len()));
            node(&root(left), &root(right))
        }
    }
}

/// The audit path of leaf `index`: the siblings from the leaf up to the root, RFC 6962 section 2.1.1. Empty for an
/// index that is not in the tree.
#[must_use]
pub fn path(leaves: &[Hash], index: usize) -> Vec<Hash> {
    if leaves.len() < 2 || index >= leaves.len() {
        return Vec::new();
    }
    let (left, right) = leaves.split_at(split(leaves.len()));
    let (mut below, sibling) = if index < left.len() {
        (path(left, index), root(right))
    } else {
        (path(right, index - left.len()), root(left))
    };
    below.push(sibling);
    below
}

/// The root that a leaf and its path lead to in a tree of `count` leaves; `None` when the path has the wrong length.
#[must_use]
pub fn root_of_path(leaf: Hash, index: usize, count: usize, path: &[Hash]) -> Option<Hash> {
    if index >= count {
        return None;
    }
    if count == 1 {
        return path.is_empty().then_some(leaf);
    }
    let (sibling, below) = path.split_last()?;
    let left = split(count);
    if index < left {
        Some(node(&root_of_path(leaf, index, left, below)?, sibling))
    } else {
        Some(node(sibling, &root_of_path(leaf, index - left, count - left, below)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_leads_to_the_root_and_no_other_leaf_does() {
        for count in 1..20_u8 {
            let leaves: Vec<Hash> = (0..count).map(|n| event_leaf(&[n])).collect();
            let top = root(&leaves);
            for (index, leaf) in leaves.iter().enumerate() {
                let path = path(&leaves, index);
                assert_eq!(root_of_path(*leaf, index, leaves.len(), &path), Some(top));
                assert_ne!(root_of_path(event_leaf(b"x"), index, leaves.len(), &path), Some(top));
            }
        }
    }
}
