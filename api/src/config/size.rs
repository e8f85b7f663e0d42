//! Numbers of bytes, with or without units.

use std::ops::RangeInclusive;

use bytesize::ByteSize;

/// Returns a parser of numbers of bytes in this range: `65536`, `256MB`, `1GiB`.
pub(crate) fn size<T: Copy + TryFrom<u64> + Into<u64> + Send + Sync + 'static>(
    range: RangeInclusive<T>,
) -> impl Fn(&str) -> Result<T, String> + Clone + Send + Sync + 'static {
    let (least, most) = ((*range.start()).into(), (*range.end()).into());
    move |text| {
        let bytes = bytes(text).ok_or(
            "use a whole number of bytes, such as 65536, or a number with a unit, such as 256MB or 1.5GiB: kB, MB, GB \
             and TB are powers of 1000, KiB, MiB, GiB and TiB powers of 1024",
        )?;
        let out_of_range = || format!("{bytes} bytes are not in {least}..={most}");
        if !(least..=most).contains(&bytes) {
            return Err(out_of_range());
        }
        bytes.try_into().map_err(|_| out_of_range())
    }
}

fn bytes(text: &str) -> Option<u64> {
    // Fractions need a unit: there is no half byte.
    let has_unit = text.ends_with(|last: char| last.is_ascii_alphabetic());
    if has_unit { text.parse().ok().map(|ByteSize(bytes)| bytes) } else { text.parse().ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_may_have_units() {
        for (text, bytes) in [
            ("65536", 65_536),
            ("256MB", 256_000_000),
            ("256 mb", 256_000_000),
            ("64KiB", 65_536),
            ("64kib", 65_536),
            ("1.5GiB", 3 << 29),
            ("2TB", 2_000_000_000_000),
            ("7B", 7),
        ] {
            assert_eq!(size(1..=u64::MAX)(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn an_invalid_size_is_refused_with_what_is_accepted() {
        for text in ["", "MB", "1.5", "-1", "-1MB", "many", "1 000", "12parsecs", "1e3", "NaNMB", "infGB"] {
            let refused = size(1..=u64::MAX)(text).unwrap_err();
            assert!(refused.starts_with("use a whole number of bytes, such as 65536"), "{text}: {refused}");
        }
        assert_eq!(size(1..=100_u32)("1kB"), Err("1000 bytes are not in 1..=100".to_owned()));
        assert_eq!(size(1..=100_u32)("0"), Err("0 bytes are not in 1..=100".to_owned()));
        assert!(size(1..=u64::MAX)("99999999999999999999").is_err());
    }
}
