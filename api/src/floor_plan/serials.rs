//! Serials of DPUs, and how one is found by what a device calls itself.
//!
//! Devices write a MAC address or an EUI in capitals or not, with separators or without. So
//! `80:1F:12:D5:30:DC/4`, `80-1f-12-d5-30-dc/4` and `801f12d530dc/4` name the same line.

use std::collections::HashMap;

use super::changes::composed;

/// Maximum length of a serial, in characters.
pub const SERIAL_CHARACTERS_MAX: usize = super::changes::NAME_CHARACTERS_MAX;

/// The ids of DPUs by their serials.
#[derive(Debug, Default)]
pub(super) struct Serials {
    exact: HashMap<String, i64>,
    /// By the key of the device, for serials that begin with a MAC address or an EUI.
    devices: HashMap<String, i64>,
}

impl Serials {
    pub(super) fn new<'a>(dpus: impl Iterator<Item = (&'a str, i64)>) -> Self {
        let mut serials = Self::default();
        for (serial, id) in dpus {
            serials.exact.insert(composed(serial), id);
            if let Some(key) = address_key(serial) {
                // An older database may have one device in two spellings. Each is found by its own, others find the first.
                serials.devices.entry(key).or_insert(id);
            }
        }
        serials
    }

    pub(super) fn id(&self, serial: &str) -> Option<i64> {
        let exact = self.exact.get(serial.trim());
        let exact =
            if serial.is_ascii() { exact } else { exact.or_else(|| self.exact.get(&composed(serial))) };
        exact.or_else(|| self.devices.get(&address_key(serial)?)).copied()
    }
}

/// Returns a serial in the one spelling in which serials are compared.
pub fn device_key(serial: &str) -> String {
    address_key(serial).unwrap_or_else(|| composed(serial))
}

/// Returns a serial with its MAC address or EUI in lower case and without separators. `None`: it begins with neither.
fn address_key(serial: &str) -> Option<String> {
    let serial = serial.trim();
    let (device, line) = serial.split_at(serial.find('/').unwrap_or(serial.len()));
    let digits = device.bytes().filter(|byte| !matches!(byte, b':' | b'-' | b'.'));
    let mut key: String = digits.map(|byte| char::from(byte.to_ascii_lowercase())).collect();
    let is_address = matches!(key.len(), 12 | 16) && key.bytes().all(|byte| byte.is_ascii_hexdigit());
    key.push_str(line);
    is_address.then_some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_found_however_its_address_is_written() {
        let serials =
            Serials::new([("80:1F:12:D5:30:DC/4", 1), ("24E124725D012345", 2), ("283", 3)].into_iter());
        for (serial, id) in [
            ("80:1F:12:D5:30:DC/4", Some(1)),
            ("80-1f-12-d5-30-dc/4", Some(1)),
            (" 801F.12D5.30dc/4 ", Some(1)),
            ("801f12d530dc", None),
            ("801f12d530dc/5", None),
            ("24-e1-24-72-5d-01-23-45", Some(2)),
            ("24e124725d01234", None),
            ("283", Some(3)),
            ("2-8-3", None),
        ] {
            assert_eq!(serials.id(serial), id, "{serial}");
        }
        assert_eq!(device_key("Line/A"), "Line/A");
        assert_eq!(device_key("é:1F:12:D5:30:DC"), "é:1F:12:D5:30:DC");
    }

    #[test]
    fn two_spellings_in_an_older_database_are_two_dpus() {
        let serials = Serials::new([("801F12D530DC", 1), ("80:1f:12:d5:30:dc", 2)].into_iter());
        assert_eq!((serials.id("801F12D530DC"), serials.id("80:1f:12:d5:30:dc")), (Some(1), Some(2)));
        assert_eq!(serials.id("80-1F-12-D5-30-DC"), Some(1));
    }
}
