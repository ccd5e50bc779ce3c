//! Text between UTF-16 databases and UTF-8 bytes, without loss.
//!
//! SQLite's own conversion replaces what is not well-formed and even U+FFFE and U+FFFF. A lone
//! surrogate becomes its three-byte form here (as in WTF-8) and comes back as it was.

/// Appends UTF-16 `bytes` as UTF-8 to `out`. An odd last byte is dropped, as SQLite does.
pub(crate) fn from_utf16(bytes: &[u8], big_endian: bool, out: &mut Vec<u8>) {
    let unit = |pair: &[u8]| {
        let pair = [pair[0], pair[1]];
        if big_endian { u16::from_be_bytes(pair) } else { u16::from_le_bytes(pair) }
    };
    let units = bytes.chunks_exact(2).map(unit);
    for item in char::decode_utf16(units) {
        match item {
            Ok(character) => {
                let mut buffer = [0; 4];
                out.extend_from_slice(character.encode_utf8(&mut buffer).as_bytes());
            }
            Err(lone) => {
                let unit = lone.unpaired_surrogate();
                out.push(0xe0 | (unit >> 12) as u8);
                out.push(0x80 | ((unit >> 6) & 0x3f) as u8);
                out.push(0x80 | (unit & 0x3f) as u8);
            }
        }
    }
}

/// Appends UTF-8 `bytes` as UTF-16 to `out`. Bytes that are neither UTF-8 nor a three-byte
/// surrogate cannot be held in UTF-16: they become U+FFFD, and false is returned.
pub(crate) fn to_utf16(bytes: &[u8], big_endian: bool, out: &mut Vec<u8>) -> bool {
    let mut push = |unit: u16| {
        out.extend_from_slice(&if big_endian { unit.to_be_bytes() } else { unit.to_le_bytes() });
    };
    let (mut rest, mut is_exact) = (bytes, true);
    while !rest.is_empty() {
        let (valid, broken) = match std::str::from_utf8(rest) {
            Ok(text) => (text, &[][..]),
            Err(error) => {
                let (valid, broken) = rest.split_at(error.valid_up_to());
                (std::str::from_utf8(valid).unwrap_or_default(), broken)
            }
        };
        valid.encode_utf16().for_each(&mut push);
        rest = match *broken {
            [] => &[],
            [0xed, second @ 0xa0..=0xbf, third @ 0x80..=0xbf, ..] => {
                push(0xd000 | (u16::from(second & 0x3f) << 6) | u16::from(third & 0x3f));
                &broken[3..]
            }
            _ => {
                push(0xfffd);
                is_exact = false;
                &broken[1..]
            }
        };
    }
    is_exact
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn utf16_comes_back_as_it_was() {
        let units: [&[u16]; 5] = [
            &[],
            &[0x41, 0, 0xfffe, 0xffff],
            &[0xd83d, 0xde00],
            &[0xd800],
            &[0xdc00, 0xd800, 0x41],
        ];
        for units in units {
            for big_endian in [false, true] {
                let bytes: Vec<u8> = units
                    .iter()
                    .flat_map(|u| if big_endian { u.to_be_bytes() } else { u.to_le_bytes() })
                    .collect();
                let (mut text, mut back) = (Vec::new(), Vec::new());
                from_utf16(&bytes, big_endian, &mut text);
                assert!(to_utf16(&text, big_endian, &mut back));
                assert_eq!(back, bytes, "{units:x?}");
            }
        }
    }

    #[test]
    fn bytes_that_are_no_text_become_replacement_characters() {
        let mut out = Vec::new();
        assert!(!to_utf16(b"a\xffb", false, &mut out));
        assert_eq!(out, [0x61, 0, 0xfd, 0xff, 0x62, 0]);
    }
}
