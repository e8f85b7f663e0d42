//! The number of connections of each client address.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The network prefix of an IPv6 address. A client may use all addresses of its network.
const IPV6_NETWORK: u128 = u128::MAX << 64;

/// Counts the connections of each address, up to a maximum.
#[derive(Debug)]
pub(super) struct Addresses {
    connections: Arc<Mutex<HashMap<IpAddr, u32>>>,
    max: u32,
}

/// One counted connection, until it is dropped.
#[derive(Debug)]
pub(super) struct Counted {
    connections: Arc<Mutex<HashMap<IpAddr, u32>>>,
    address: IpAddr,
}

impl Addresses {
    pub(super) fn new(max: u32) -> Self {
        Self { connections: Arc::default(), max }
    }

    /// Counts one more connection of the address. Returns `None` if the address has the maximum number.
    pub(super) fn count(&self, address: IpAddr) -> Option<Counted> {
        let address = network(address);
        let mut connections = lock(&self.connections);
        let open = connections.entry(address).or_default();
        if *open >= self.max {
            return None;
        }
        *open += 1;
        Some(Counted { connections: Arc::clone(&self.connections), address })
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut connections = lock(&self.connections);
        if let Some(open) = connections.get_mut(&self.address) {
            *open -= 1;
            if *open == 0 {
                connections.remove(&self.address);
            }
        }
    }
}

/// Returns the address, or the network of an IPv6 address, that is counted as one client.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & IPV6_NETWORK).into(),
        address @ IpAddr::V4(_) => address,
    }
}

fn lock(connections: &Mutex<HashMap<IpAddr, u32>>) -> MutexGuard<'_, HashMap<IpAddr, u32>> {
    connections.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_address_has_its_own_maximum() {
        let addresses = Addresses::new(2);
        let count = |address: &str| addresses.count(address.parse().unwrap());
        let first = count("192.0.2.1").unwrap();
        let _second = count("::ffff:192.0.2.1").unwrap();
        assert!(count("192.0.2.1").is_none());
        let _other = count("192.0.2.2").unwrap();
        drop(first);
        let _third = count("192.0.2.1").unwrap();
        // A client may use any address of its network.
        let of_network = [count("2001:db8::1").unwrap(), count("2001:db8::2").unwrap()];
        assert!(count("2001:db8::3").is_none());
        let _other = count("2001:db8:0:1::1").unwrap();
        drop(of_network);
        assert_eq!(lock(&addresses.connections).len(), 3);
    }
}
