//! Which alternatives have a value at all: the least fixpoint over what a value cannot do without, which are an object's
//! required keys and an array's first items. Recursion without an end has none.

use super::normal::Normal;
use super::{Alternative, NodeId, UNBOUNDED};
use crate::error::Result;

/// By number.
#[derive(Debug, Default)]
pub(super) struct Inhabited {
    pub(super) nodes: Vec<bool>,
    pub(super) alternatives: Vec<bool>,
}

/// What an alternative still waits for.
#[derive(Clone, Copy, Default)]
struct Wait {
    /// Values it cannot do without.
    required: u32,
    /// Keys that may be there, beside those required.
    keys: u32,
}

/// What a node with a value is to an alternative.
#[derive(Clone, Copy)]
enum Use {
    Required,
    RequiredKey,
    Key,
    Keys,
}

impl Inhabited {
    pub(super) fn of(normal: &mut Normal) -> Result<Self> {
        let n_alternatives = normal.alternatives.len();
        let mut uses: Vec<Vec<(u32, Use)>> = vec![Vec::new(); normal.nodes.len()];
        let mut waits = vec![Wait::default(); n_alternatives];
        let mut owners: Vec<Vec<NodeId>> = vec![Vec::new(); n_alternatives];
        for (id, node) in normal.nodes.iter().enumerate() {
            normal.fuel.spend(1 + node.alternatives.len() as u64)?;
            for &alternative in &node.alternatives {
                if let Some(owners) = owners.get_mut(alternative as usize) {
                    owners.push(id as NodeId);
                }
            }
        }
        let mut add = |node: NodeId, alternative: usize, used: Use| {
            if let Some(uses) = uses.get_mut(node as usize) {
                uses.push((alternative as u32, used));
            }
        };
        for (id, (&alternative, wait)) in normal.alternatives.iter().zip(&mut waits).enumerate() {
            match alternative {
                Alternative::Object(object) => {
                    let Some(object) = normal.objects.get_index(object as usize) else { continue };
                    normal.fuel.spend((object.properties.len() + object.additional.len()) as u64)?;
                    wait.keys = object.min_properties;
                    for property in &object.properties {
                        wait.required += u32::from(property.required);
                        add(property.node, id, if property.required { Use::RequiredKey } else { Use::Key });
                    }
                    for additional in &object.additional {
                        add(additional.node, id, Use::Keys);
                    }
                }
                Alternative::Array(array) => {
                    let Some(array) = normal.arrays.get_index(array as usize) else { continue };
                    normal.fuel.spend(array.prefix.len() as u64)?;
                    let n_prefix = array.prefix.len().min(array.min as usize);
                    for &node in array.prefix.iter().take(n_prefix) {
                        add(node, id, Use::Required);
                    }
                    wait.required = n_prefix as u32;
                    if array.min as usize > array.prefix.len() {
                        wait.required += 1;
                        add(array.rest, id, Use::Required);
                    }
                }
                _ => {}
            }
        }
        let mut found = Self { nodes: vec![false; normal.nodes.len()], alternatives: vec![false; n_alternatives] };
        let is_ready = |wait: &Wait| wait.required == 0 && wait.keys == 0;
        let mut todo: Vec<usize> =
            waits.iter().enumerate().filter(|&(_, wait)| is_ready(wait)).map(|(id, _)| id).collect();
        while let Some(alternative) = todo.pop() {
            match found.alternatives.get_mut(alternative) {
                Some(known) if !*known => *known = true,
                _ => continue,
            }
            for &node in owners.get(alternative).into_iter().flatten() {
                match found.nodes.get_mut(node as usize) {
                    Some(known) if !*known => *known = true,
                    _ => continue,
                }
                for &(user, used) in uses.get(node as usize).into_iter().flatten() {
                    normal.fuel.spend(1)?;
                    let Some(wait) = waits.get_mut(user as usize) else { continue };
                    let (required, keys) = match used {
                        Use::Required => (1, 0),
                        Use::RequiredKey => (1, 1),
                        Use::Key => (0, 1),
                        Use::Keys => (0, UNBOUNDED),
                    };
                    wait.required = wait.required.saturating_sub(required);
                    wait.keys = wait.keys.saturating_sub(keys);
                    if is_ready(wait) {
                        todo.push(user as usize);
                    }
                }
            }
        }
        Ok(found)
    }

    pub(super) fn node(&self, id: NodeId) -> bool {
        self.nodes.get(id as usize).copied().unwrap_or(false)
    }

    pub(super) fn alternative(&self, id: u32) -> bool {
        self.alternatives.get(id as usize).copied().unwrap_or(false)
    }
}
